
"use strict";
// Everything that this page shows is written by this script from what was signed. Nothing is fetched or sent.

const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
const unbase = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bytesOf = (text) => new TextEncoder().encode(text);

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

async function sha256(bytes) { return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)); }

class Broken extends Error {}
function insist(holds, sentence) { if (!holds) throw new Broken(sentence); }

// RFC 9162, section 2.1.3.2: from a record's leaf up to the root of the hash tree
async function rootFrom(line, index, count, proof) {
  insist(Number.isInteger(index) && index >= 0 && index < count, "A record is not where it says it is.");
  let place = index, last = count - 1, digest = await sha256(joined(new Uint8Array([0]), bytesOf(line)));
  for (const text of proof) {
    insist(/^[0-9a-f]{64}$/.test(text), "The proof of a record is malformed.");
    const sibling = unhex(text);
    insist(last > 0, "The proof of a record is too long.");
    const left = place % 2 === 1 || place === last;
    digest = await sha256(left ? joined(new Uint8Array([1]), sibling, digest) : joined(new Uint8Array([1]), digest, sibling));
    if (left) while (place % 2 === 0 && place) { place = Math.floor(place / 2); last = Math.floor(last / 2); }
    place = Math.floor(place / 2); last = Math.floor(last / 2);
  }
  insist(last === 0, "The proof of a record is cut off.");
  return hex(digest);
}

async function checkRecords(evidence, statement) {
  const tree = statement.predicate.blackbox.records;
  insist(evidence.records.length > 0, "The page holds no record.");
  for (const { index, line, proof } of evidence.records) {
    const root = await rootFrom(line, index, tree.count, proof);
    insist(root === tree.merkle_root, "A record on this page is not one of those that were signed.");
  }
  const cases = new Set(evidence.records.map((one) => JSON.parse(one.line).case));
  insist(cases.size === 1, "The records on this page belong to different cases.");
  const places = evidence.records.map((one) => one.index);
  insist(places.every((place, k) => k === 0 || place > places[k - 1]), "The records are not in their order.");
}

// returns null when the signature holds, or why this browser cannot tell
async function checkSignature(evidence, envelope) {
  const spki = unbase(evidence.key), [signature] = envelope.signatures;
  insist(hex(await sha256(spki)) === signature.keyid, "The key on this page is not the one that signed.");
  let key;
  try {
    key = await crypto.subtle.importKey("spki", spki, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    insist(error.name === "NotSupportedError", "The key on this page is malformed.");
    return "This browser cannot check Ed25519 signatures. A newer one can: Chrome or Edge 137, Firefox 129, Safari 17.";
  }
  const kind = bytesOf(envelope.payloadType), payload = unbase(envelope.payload);
  const signed = joined(bytesOf(`DSSEv1 ${kind.length} `), kind, bytesOf(` ${payload.length} `), payload);
  insist(await crypto.subtle.verify({ name: "Ed25519" }, key, unbase(signature.sig), signed), "The signature does not hold.");
  return null;
}

async function check(evidence) {
  const envelope = JSON.parse(evidence.envelope);
  insist(envelope.payloadType === "application/vnd.in-toto+json" && envelope.signatures.length === 1, "The signature is not of the kind that is expected.");
  const statement = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(unbase(envelope.payload)));
  const own = statement.predicate.blackbox;
  insist(own.schema === "blackbox.statement/1", "What was signed is not a statement that this page understands.");
  const keyid = envelope.signatures[0].keyid;
  if (!globalThis.crypto || !crypto.subtle) {
    return { statement, keyid, why: "This browser offers no cryptography to pages that were opened like this one." };
  }
  insist(own.public_key === evidence.key, "The key on this page is not the one that the statement names.");
  await checkRecords(evidence, statement);
  return { statement, keyid, why: await checkSignature(evidence, envelope) };
}

// what is shown ---------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const spaced = (text) => text.match(/.{1,4}/g).join(" ");
const tidy = (value) => typeof value === "number" ? (value < 0 ? "−" : "") + Math.abs(value).toLocaleString("en", { maximumSignificantDigits: 6 }) : String(value);
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toLocaleString("en", { maximumSignificantDigits: 3 });
const brief = (value) => (value < 0 ? "−" : "") + Math.abs(value).toLocaleString("en", { maximumSignificantDigits: 4 });
const percent = (value) => value.toLocaleString("en", { style: "percent", maximumFractionDigits: 1 });
const day = (time) => new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const yours = (reason) => reason.held === null || reason.held === undefined ? null : make("span", { class: "soft" }, ` – yours: ${tidy(reason.held)}`);

function bar(share, side) {
  const fill = make("i", side ? { class: side } : {});
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return make("div", { class: "track" }, fill);
}

function answer(record) {
  const { names, values } = record.output;
  const shares = values.length > 1 && values.every((v) => v >= 0 && v <= 1) && Math.abs(values.reduce((a, b) => a + b, 0) - 1) < 1e-3;
  const word = record.predicted ?? (values.length ? values.map(tidy).join(", ") : "no answer");
  const box = make("div", { class: "answer" }, make("div", { class: "soft" }, "The system answered"), make("div", { class: "word" }, String(word)));
  const order = values.map((v, k) => k).sort((a, b) => values[b] - values[a]).slice(0, 8);
  if (values.length > 1) for (const k of order) {
    box.append(make("div", { class: "row" }, make("span", {}, String(names[k])), shares ? bar(values[k]) : make("span"),
      make("span", { class: "number" }, shares ? percent(values[k]) : brief(values[k]))));
  }
  return box;
}

function side(reasons, kind, title, top) {
  const list = make("ol", { class: "reasons" });
  for (const reason of reasons) {
    const value = typeof reason.value === "number" ? [make("span", { class: "soft small" }, ` (${signed(reason.value)})`), bar(Math.abs(reason.value) / top, kind)] : [];
    list.append(make("li", {}, make("b", {}, reason.label || reason.feature), yours(reason), ...value));
  }
  return make("div", {}, make("h3", {}, title), reasons.length ? list : make("p", { class: "soft" }, "Nothing among the main reasons."));
}

function reasonsOf(record, explanations) {
  if (record.reasons) return record.reasons;
  const one = explanations.find((e) => e.explanation.values && e.explanation.values.every((v) => typeof v === "number"));
  if (!one) return null;
  const { feature_names: names, values } = one.explanation;
  const held = record.input.values || [];
  const all = names.map((feature, k) => ({ feature, held: held[k], value: values[k] })).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return { target: record.target, method: one.method, supporting: all.filter((r) => r.value > 0).slice(0, 4), opposing: all.filter((r) => r.value < 0).slice(0, 4) };
}

// the principal reasons for an adverse decision, where the plan asked for them
function principal(decision) {
  const wanted = `“${decision.favourable}”`, part = [make("h2", {}, decision.adverse ? `The main reasons against ${wanted}` : `Why there are no reasons against ${wanted}`)];
  const score = `Your score for ${wanted} is ${brief(decision.score)}; ${brief(decision.passing)} is enough.`;
  if (!decision.reasons.length) return [...part, make("p", {}, `${score} ${decision.footing_text}`)];
  part.push(make("p", {}, `${score} What lowered it most, compared with ${decision.compared}:`));
  const list = make("ol", { class: "reasons counted" }), top = Math.max(...decision.reasons.map((r) => r.value)) || 1;
  for (const reason of decision.reasons) {
    const code = reason.code ? make("span", { class: "code" }, reason.code) : null;
    list.append(make("li", {}, make("b", {}, reason.text), yours(reason), code, bar(reason.value / top, "against")));
  }
  const sure = decision.confidence ? ` (Confidence: ${percent(decision.confidence)}.)` : "";
  part.push(list, make("p", { class: "soft" }, decision.footing_text + sure));
  if (decision.close.length) part.push(make("p", {}, `Too close to call: ${decision.close.join(", ")}.`));
  if (decision.overlooked.length) part.push(make("p", {}, `Would have been among the reasons, but the organisation declared that they are none: ${decision.overlooked.join(", ")}.`));
  return part;
}

function why(record, explanations) {
  const decision = record.reasons && record.reasons.decision;
  if (!decision) return counted(record, explanations, "h2");
  return [...principal(decision), make("details", {}, make("summary", {}, `How all of it moved the score for “${record.target}”, up and down`), ...counted(record, explanations, "h3"))];
}

function counted(record, explanations, heading) {
  const part = [make(heading, {}, `What counted most for and against “${record.target}”`)];
  const reasons = reasonsOf(record, explanations);
  if (!reasons) return [...part, make("p", {}, "The record holds no reasons: no method gave an answer for this case.")];
  const against = reasons.opposing || [], support = reasons.supporting || [];
  const top = Math.max(...[...against, ...support].map((r) => Math.abs(r.value) || 0), 0) || 1;
  part.push(make("div", { class: "sides" }, side(against, "against", `Against “${record.target}”`, top), side(support, "for", `For “${record.target}”`, top)));
  part.push(make("p", { class: "soft small" }, `The numbers say by how much the system’s score for “${record.target}” changed because it knew this about you, ` +
    `compared with not knowing it (method: ${reasons.method || "see the record"}).`));
  return part;
}

// SHA-256(salt || canonical JSON) of what the reader typed, as a number, as the nearest float32, and as text
async function isHeld(typed, digest, salt) {
  const text = typed.trim(), number = Number(text.replaceAll(",", ""));
  const readings = text !== "" && Number.isFinite(number) ? [number, Math.fround(number), text] : [text];
  for (const reading of readings) {
    if (hex(await sha256(joined(unhex(salt), bytesOf(JSON.stringify(reading))))) === digest) return true;
  }
  return false;
}

function hidden(record, items, salt) {
  const { privacy, digests } = record.input;
  const rule = privacy === "hash" ? "only as salted digests, so that nobody can read them from it" : "not at all";
  const about = make("p", {}, `The values themselves are kept in the record ${rule}.`);
  if (!digests || !/^[0-9a-f]{64}$/.test(salt || "") || !globalThis.crypto?.subtle) {
    about.append(` The system was told these ${items.length} things: ${items.join(", ")}.`);
    return [about];
  }
  const body = make("tbody");
  items.forEach((name, k) => {
    const field = make("input", { "aria-label": name, autocomplete: "off" }), result = make("span", { class: "soft", role: "status" });
    field.addEventListener("input", async () => {
      const typed = field.value, same = await isHeld(typed, digests[k], salt);
      if (field.value === typed) result.textContent = typed.trim() === "" ? "" : same ? "✓ this is what it was told" : "not this";
    });
    body.append(make("tr", {}, make("td", {}, name), make("td", {}, field), make("td", {}, result)));
  });
  return [about, make("p", {}, "You can check what you know: type a value, and this page says whether it is the one that was recorded. Nothing leaves your device."), make("table", {}, body)];
}

function told(record, salt) {
  const part = [make("h2", {}, "What the system was told about you")], values = record.input.values;
  const items = record.features.labels || record.features.names;
  if (!values) return [...part, ...hidden(record, items, salt)];
  const body = make("tbody");
  items.forEach((name, k) => body.append(make("tr", {}, make("td", {}, name), make("td", { class: "number" }, tidy(values[k])))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, "Item"), make("th", { class: "number" }, "Value"))), body);
  if (values.length <= 30) return [...part, make("p", {}, "Tell the organisation that decided if any of this is wrong."), table];
  return [...part, make("details", {}, make("summary", {}, `${values.length} values`), table)];
}

function reliable(record, failures) {
  const list = make("ul", { class: "plain" }), passed = record.findings.filter((f) => f.status === "passed");
  if (passed.length) list.append(make("li", { class: "passed" }, `${passed.length} of ${record.findings.length} checks of this explanation held.`));
  for (const finding of record.findings.filter((f) => f.status !== "passed")) list.append(make("li", { class: finding.status }, finding.sentence));
  for (const failure of failures) list.append(make("li", { class: "warned" }, `The method ${failure.method} gave no answer: ${failure.error.message}`));
  return [make("h2", {}, "How far the explanation can be trusted"), list.children.length ? list : make("p", {}, "No checks were made of this case.")];
}

function proof(statement, keyid, checked) {
  const own = statement.predicate.blackbox, model = statement.subject.filter((s) => s.name.startsWith("model/")).map((s) => s.name.slice(6));
  return [
    make("h2", {}, "What this page proves, and what it does not"),
    make("p", {}, `The record behind this page is one of ${tidy(own.records.count)} that were signed together on ${day(own.signed_at)}, for the model ${model.join(", ") || "that the record names"}. ` +
      (checked ? "Your browser has just checked that nothing in it was changed since." : "Your browser could not check whether it was changed since.") +
      " Nothing was sent anywhere: the page works without a network."),
    make("p", {}, "Your browser cannot know whose key signed it. Compare this fingerprint with the one that the organisation publishes:"),
    make("p", {}, make("code", { class: "fingerprint" }, spaced(keyid))),
    make("p", {}, "Somebody could still have made a page that only looks like this one. To be certain, have the file checked by the program itself: ",
      make("code", {}, "blackbox verify receipt.html --key PUBLIC-KEY")),
    make("p", { class: "soft" }, "The reasons describe how the system’s answer came about. They are evidence, not legal advice, and they do not say whether the decision was right. You can ask the organisation that decided to explain it further, and to have a person look at it again."),
  ];
}

function technical(evidence, statement) {
  const raw = evidence.records.map((one) => make("pre", {}, `record ${one.index + 1}\n${JSON.stringify(JSON.parse(one.line), null, 1)}\n\nproof\n${one.proof.join("\n")}`));
  return make("details", {}, make("summary", {}, "The signed records and statement in full"), ...raw, make("pre", {}, `statement\n${JSON.stringify(statement, null, 1)}`));
}

function content(evidence, statement, keyid, checked) {
  const records = evidence.records.map((one) => JSON.parse(one.line));
  const cases = records.filter((record) => record.kind === "case");
  const page = [make("h1", {}, `About the decision in case ${cases[0].case}`), make("p", { class: "soft" }, "An automated system was involved. This page tells you what it answered and what that answer rested on.")];
  for (const record of cases) {
    const mine = records.filter((other) => other.number === record.number);
    const explanations = mine.filter((other) => other.kind === "explanation"), failures = mine.filter((other) => other.kind === "failure");
    page.push(...(record === cases[0] ? [answer(record)] : []), ...why(record, explanations), ...(record === cases[0] ? told(record, evidence.salt) : []), ...reliable(record, failures));
  }
  return [...page, ...proof(statement, keyid, checked), technical(evidence, statement)];
}

function show(verdict, title, sentence, rest) {
  const banner = make("div", { class: `banner ${verdict}`, role: verdict === "failed" ? "alert" : "status" }, make("strong", {}, title), sentence);
  document.title = `${title} – receipt`;
  document.body.replaceChildren(make("main", {}, banner, ...(rest || [])));
  document.documentElement.dataset.verdict = verdict;
}

(async () => {
  try {
    const look = document.head.querySelector("#look"), policy = document.head.querySelector("meta[http-equiv='Content-Security-Policy']");
    insist(policy && look && look.sheet && look.sheet.cssRules.length > 20, "The frame of this page was changed.");
    const evidence = JSON.parse(document.getElementById("evidence").textContent);
    insist(evidence.schema === "blackbox.case-receipt/1", "The page holds no receipt that it understands.");
    const { statement, why: cannot, keyid } = await check(evidence);
    const rest = content(evidence, statement, keyid, !cannot);
    if (cannot) show("unchecked", "Could not be checked here", `${cannot} What follows may have been changed; do not rely on it before it has been checked.`, rest);
    else show("verified", "Verified", `This page is as it was signed on ${day(statement.predicate.blackbox.signed_at)} with the key ${spaced(keyid.slice(0, 16))} …`, rest);
  } catch (error) {
    const reason = error instanceof Broken ? error.message : "A part of it is damaged or missing.";
    show("failed", "Not verified", `This page was changed, damaged or cut off after it was signed: do not rely on it. ${reason} Ask for the original.`);
  }
})();
