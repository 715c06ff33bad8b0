// Spares a reload and lets files be dropped anywhere; without this script the form does the same.
"use strict";
const form = document.querySelector("form:not(.plain)");
if (form) {
  const zone = form.querySelector(".drop"), file = form.elements.file, text = form.elements.text;
  const told = form.querySelector(".busy"), button = form.querySelector("button");
  const result = document.getElementById("result");

  document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) {
      file.files = event.dataTransfer.files;
      if (text) text.value = "";
    } else if (text) {
      text.value = event.dataTransfer.getData("text/plain");
      file.value = "";
    }
  });
  if (text) {
    file.addEventListener("change", () => { if (file.files.length) text.value = ""; });
    text.addEventListener("input", () => { if (text.value) file.value = ""; });
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const begun = performance.now();
    const tick = () => { told.textContent = "Asking the model, " + Math.round((performance.now() - begun) / 1000) + " s"; };
    const timer = setInterval(tick, 1000);
    tick();
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("result");
      if (!page) throw new Error("no page");
      result.replaceChildren(...page.childNodes);
      told.textContent = "";
      const first = result.querySelector("h2, [role=alert]");
      if (first) { first.tabIndex = -1; first.focus(); first.scrollIntoView({ block: "start" }); }
    } catch (error) {
      told.textContent = "The service did not answer: try again.";
    } finally {
      clearInterval(timer);
      button.disabled = false;
    }
  });
}

// Audits in progress: every event moves the bar; an end reloads the page, which tells the result.
for (const job of document.querySelectorAll(".jobs li")) {
  if (job.dataset.state !== "waiting" && job.dataset.state !== "running") continue;
  const bar = job.querySelector("progress"), how = job.querySelector(".how"), state = job.querySelector(".state");
  const stream = new EventSource(job.dataset.events);
  let rows = 0;
  stream.addEventListener("shard", (event) => {
    const told = JSON.parse(event.data);
    rows += told.rows;
    bar.max = told.shards;
    bar.value = told.finished;
    state.textContent = "running";
    state.className = "state running";
    how.textContent = told.finished + " of " + told.shards + " parts, " + rows.toLocaleString("en") + " rows";
  });
  for (const end of ["succeeded", "failed", "cancelled"]) {
    stream.addEventListener(end, () => { stream.close(); location.reload(); });
  }
}
