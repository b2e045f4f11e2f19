// MLflow's client prints addresses such as /#/experiments/1/runs/2: those are on the page of runs.
"use strict";
if (/^#\/(experiments|runs)\//.test(location.hash)) location.replace(`/page/runs.html${location.hash}`);
