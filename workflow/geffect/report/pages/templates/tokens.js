"use strict";
(() => {
  const { samples, cells, others } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const NEGATIVE = [224, 130, 20], POSITIVE = [92, 158, 214], TOP = 15;
  const MODES = {
    e_retain: ["e_retain", "orange: damages retention; blue: helps it"],
    e_unlearn: ["e_unlearn", "orange: forgets, which is wanted; blue: relearns"],
    weight: ["weight in the objective", "blue: counts; white: does not"],
    change: ["change of log-probability", "orange: less likely than under the original model"],
  };

  // --- Data: half-precision numbers in base64, a scale for every step.
  function numbers(packed) {
    const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const perStep = bytes.length / 2 / packed.scale.length;
    const out = new Float64Array(bytes.length / 2);
    for (let i = 0; i < out.length; i++) {
      const h = view.getUint16(2 * i, true);
      const sign = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, f = h & 1023;
      const v = e === 31 ? (f ? NaN : Infinity) : e ? 2 ** (e - 15) * (1 + f / 1024) : 2 ** -14 * (f / 1024);
      out[i] = sign * v * packed.scale[Math.floor(i / perStep)];
    }
    return out;
  }
  const starts = [0];
  for (const s of samples) starts.push(starts.at(-1) + s.tokens.length);
  const total = starts.at(-1);
  const unpacked = new Map();
  function values(cell, name) {
    const key = `${cell.name}/${name}`;
    if (!unpacked.has(key)) {
      let found = null;
      if (name === "reference") found = numbers(cell.reference);
      else if (name === "change") {
        const ref = values(cell, "reference");
        found = values(cell, "logp").map((v, i) => v - ref[i % total]);
      } else if (cell.values[name]) found = numbers(cell.values[name]);
      unpacked.set(key, found);
    }
    return unpacked.get(key);
  }
  function runnerUp(cell, step, token) { // its text, or null
    const k = cell.steps.indexOf(step);
    if (k < 0 || !cell.runners_up) return null;
    const key = `${cell.name}/runners_up`;
    if (!unpacked.has(key)) {
      const view = new DataView(Uint8Array.from(atob(cell.runners_up), (c) => c.charCodeAt(0)).buffer);
      unpacked.set(key, (at) => (others.length <= 65536 ? view.getUint16(2 * at, true) : view.getUint32(4 * at, true)));
    }
    return others[unpacked.get(key)(k * total + token)];
  }
  const ofTemplate = (s, j) => s.answer !== null && (j < s.answer[0] || j >= s.answer[1]);
  const TEMPLATE = "of the template, not of the answer";
  function value(cell, name, step, token) { // token: position among those of all samples
    const k = cell.steps.indexOf(step);
    const all = k < 0 ? null : values(cell, name);
    return all ? all[k * total + token] : NaN;
  }

  // --- Small helpers; texts are only ever set as text.
  function make(tag, text, attributes = {}) {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = text;
    for (const [name, v] of Object.entries(attributes)) node.setAttribute(name, v);
    return node;
  }
  function show(v) {
    if (v === null || v === undefined || Number.isNaN(v)) return "–";
    if (!Number.isFinite(v)) return v < 0 ? "−∞" : "∞";
    const text = v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(2) : String(+v.toPrecision(3));
    return text.replaceAll("-", "−");
  }
  const visible = (text) => text.replaceAll("\n", "⏎") || "∅";
  const alone = (text) => visible(text).replace(/^ | $/g, "␣"); // where no word stands beside it
  function mix(colour, share) {
    const t = Math.max(0, Math.min(1, share));
    return `rgb(${colour.map((c) => Math.round(255 + (c - 255) * t)).join(",")})`;
  }
  function options(select, pairs) {
    select.replaceChildren(...pairs.map(([v, text]) => make("option", text, { value: v })));
  }

  // --- State.
  const steps = [...new Set(cells.flatMap((c) => c.steps))].sort((a, b) => a - b);
  const chosen = { left: null, right: null }; // token of the sample; null: the one of greatest value
  const cellOf = (side) => cells[+at(side === "left" ? "cell" : "other").value];
  const step = () => steps[+at("step").value];
  const sample = () => +at("sample").value;

  function extent() {
    const name = at("colour").value, from = starts[sample()], to = starts[sample() + 1];
    let most = 0;
    for (const side of ["left", "right"]) {
      const cell = cellOf(side);
      if (!cell) continue;
      for (const t of at("range").value === "run" ? cell.steps : [step()])
        for (let i = from; i < to; i++) {
          const v = Math.abs(value(cell, name, t, i));
          if (Number.isFinite(v) && v > most) most = v;
        }
    }
    return most || 1;
  }

  function facts(cell, token) {
    const i = starts[sample()] + token, t = step();
    const logp = value(cell, "logp", t, i);
    const weight = cell.values.weight ? value(cell, "weight", t, i) : null;
    const other = runnerUp(cell, t, i), none = "not in this run's tables";
    return [
      ["token", `${token + 1} of ${samples[sample()].tokens.length}: “${alone(samples[sample()].tokens[token])}”`],
      ["e_retain", show(value(cell, "e_retain", t, i))],
      ["e_unlearn", show(value(cell, "e_unlearn", t, i))],
      ["probability", `${show(Math.exp(logp))} (originally ${show(Math.exp(values(cell, "reference")[i]))})`],
      ["change of log-probability", show(value(cell, "change", t, i))],
      ["weight", weight === null ? "none of tokens in this run" : show(weight)],
      ["runner-up", other === null ? none : `“${alone(other)}”, probability ${show(Math.exp(value(cell, "logp_runner_up", t, i)))}`],
      ["entropy", cell.values.entropy ? `${show(value(cell, "entropy", t, i))} nats` : none],
      ...(ofTemplate(samples[sample()], token) ? [["part", `${TEMPLATE}; the loss covers it all the same`]] : []),
    ];
  }

  function panel(side, most) {
    const cell = cellOf(side), node = at(side);
    node.hidden = !cell;
    if (!cell) return;
    const of = samples[sample()], k = cell.steps.indexOf(step()), mode = at("colour").value;
    node.replaceChildren(make("h3", cell.name, { id: `${side}-title` }));
    if (cell.diverged) node.append(make("p", "This run diverged; its last steps are missing.", { class: "small soft" }));
    if (k < 0) {
      node.append(make("p", `Not measured at step ${step()} (measured at ${cell.steps.join(", ")}).`, { class: "note" }));
      return;
    }
    const whole = ["e_retain", "e_unlearn", "weight"].filter((n) => cell.samples[n])
      .map((n) => `${n} ${show(cell.samples[n][k][sample()])}`);
    node.append(make("p", `The whole answer: ${whole.join(", ")}.`, { class: "small soft" }));
    if (mode === "weight" && !cell.values.weight)
      node.append(make("p", "This run's tokens.parquet has no weights: the objective declares none, or trains on other texts.", { class: "small soft" }));
    const line = make("div", null, { class: "tokens", role: "group", "aria-label": `Answer under ${cell.name}` });
    if (chosen[side] === null || chosen[side] >= of.tokens.length) {
      const sizes = of.tokens.map((_, j) => Math.abs(value(cell, mode, step(), starts[sample()] + j)) || 0);
      chosen[side] = sizes.indexOf(Math.max(...sizes));
    }
    const list = make("dl", null, { class: "facts", "aria-live": "polite" });
    const detail = (token) => list.replaceChildren(...facts(cell, token).flatMap(([n, v]) => [make("dt", n), make("dd", v)]));
    of.tokens.forEach((text, j) => {
      const v = value(cell, mode, step(), starts[sample()] + j);
      const part = ofTemplate(of, j) ? `${TEMPLATE}; ` : "";
      const said = `${part}${MODES[mode][0]} ${show(v)}`;
      const other = runnerUp(cell, step(), starts[sample()] + j);
      const second = other === null ? "" : `runner-up “${alone(other)}” ${show(Math.exp(value(cell, "logp_runner_up", step(), starts[sample()] + j)))}, entropy ${show(value(cell, "entropy", step(), starts[sample()] + j))} nats; `;
      const token = make("span", visible(text), {
        class: "token", role: "button", tabindex: j === chosen[side] ? "0" : "-1", title: second + said,
        "aria-label": `${visible(text)}: ${said}`, "aria-pressed": String(j === chosen[side]),
      });
      if (part) token.classList.add("template");
      if (Number.isNaN(v)) token.classList.add("missing");
      else token.style.backgroundColor = mix(v < 0 ? NEGATIVE : POSITIVE, Math.abs(v) / most);
      if (v < -0.05 * most) token.classList.add("negative");
      const choose = () => {
        const before = line.children[chosen[side]];
        before.setAttribute("aria-pressed", "false"); before.tabIndex = -1;
        chosen[side] = j;
        token.setAttribute("aria-pressed", "true"); token.tabIndex = 0; token.focus();
        detail(j);
      };
      token.addEventListener("click", choose);
      token.addEventListener("keydown", (event) => {
        const go = { ArrowRight: j + 1, ArrowDown: j + 1, ArrowLeft: j - 1, ArrowUp: j - 1, Home: 0, End: of.tokens.length - 1, Enter: j, " ": j }[event.key];
        if (go === undefined || !line.children[go]) return;
        event.preventDefault();
        line.children[go].click();
      });
      line.append(token);
    });
    detail(chosen[side]);
    const more = make("details");
    more.append(make("summary", "All numbers of this answer"));
    more.addEventListener("toggle", () => {
      if (!more.open || more.children.length > 1) return;
      const box = make("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": "All numbers" });
      const table = make("table");
      fill(table, ["#", "token", "e_retain", "e_unlearn", "p", "change of log p", "weight", "runner-up", "p of it", "entropy (nats)"],
        of.tokens.map((text, j) => {
          const i = starts[sample()] + j, v = (n) => show(value(cell, n, step(), i));
          const p = (n) => show(Math.exp(value(cell, n, step(), i))), other = runnerUp(cell, step(), i);
          return [j + 1, alone(text), v("e_retain"), v("e_unlearn"), p("logp"), v("change"), cell.values.weight ? v("weight") : "–",
            ...(other === null ? ["–", "–"] : [alone(other), p("logp_runner_up")]), cell.values.entropy ? v("entropy") : "–"];
        }), [0, 2, 3, 4, 5, 6, 8, 9]);
      box.append(table); more.append(box);
    });
    node.append(line, list, more);
  }

  function fill(table, head, rows, right = []) {
    const first = make("tr");
    head.forEach((h, j) => first.append(make("th", h, { scope: "col", ...(right.includes(j) ? { class: "number" } : {}) })));
    const body = make("tbody");
    for (const cellsOfRow of rows) {
      const line = make("tr");
      cellsOfRow.forEach((c, j) => {
        const td = make("td", c instanceof Node ? null : String(c), right.includes(j) ? { class: "number" } : {});
        if (c instanceof Node) td.append(c);
        line.append(td);
      });
      body.append(line);
    }
    const thead = make("thead");
    thead.append(first);
    table.replaceChildren(thead, body);
  }

  function jump(text, s, token) {
    const button = make("button", text, { type: "button" });
    button.addEventListener("click", () => {
      at("sample").value = s; chosen.left = chosen.right = token ?? null;
      draw(); at("question").scrollIntoView({ block: "center" });
      at("left").querySelector('[aria-pressed="true"]')?.focus({ preventScroll: true });
    });
    return button;
  }
  const short = (text, n = 60) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);

  const marked = (s, j) => alone(s.tokens[j]) + (ofTemplate(s, j) ? " (template)" : "");

  function lists() {
    const cell = cellOf("left"), k = cell.steps.indexOf(step());
    const weighted = at("order").value === "weighted", way = at("from").value === "worst" ? 1 : -1;
    const none = weighted && !cell.values.weight;
    at("lists-of").textContent = k < 0 ? `${cell.name} was not measured at step ${step()}.`
      : none ? `${cell.name} has no weights of the answer's tokens.`
      : `In ${cell.name} at step ${step()}; values are e_retain${weighted ? " times weight" : ""}.`;
    const tables = ["worst-samples", "worst-tokens", "worst-texts"].map(at);
    if (k < 0 || none) { tables.forEach((t) => t.replaceChildren()); return; }
    const e = (i) => value(cell, "e_retain", step(), i) * (weighted ? value(cell, "weight", step(), i) : 1);
    const tokens = [], texts = new Map();
    const sums = samples.map((s, n) => {
      let sum = 0;
      s.tokens.forEach((text, j) => {
        const v = e(starts[n] + j);
        tokens.push([v, n, j]);
        const key = marked(s, j), known = texts.get(key) ?? [0, 0];
        texts.set(key, [known[0] + v, known[1] + 1]);
        sum += v;
      });
      return [weighted ? sum : cell.samples.e_retain[k][n] ?? NaN, n];
    });
    const order = (a, b) => way * (a[0] - b[0]) || 0;
    const finite = (row) => !Number.isNaN(row[0]);
    fill(tables[0], ["value", "sample"], sums.filter(finite).sort(order).slice(0, TOP).map(([v, n]) =>
      [show(v), jump(`${samples[n].sample}: ${short(samples[n].question)}`, n)]), [0]);
    fill(tables[1], ["value", "token", "p", "in sample"], tokens.filter(finite).sort(order).slice(0, TOP).map(([v, n, j]) =>
      [show(v), make("code", marked(samples[n], j)), show(Math.exp(value(cell, "logp", step(), starts[n] + j))),
        jump(`${samples[n].sample}: ${short(samples[n].question, 30)}`, n, j)]), [0, 2]);
    const least = Math.max(1, Math.floor(+at("least").value) || 1), mean = at("by").value === "mean";
    const added = [...texts].map(([text, [v, c]]) => [mean ? v / c : v, text, v, c]).filter((row) => finite(row) && (!mean || row[3] >= least));
    at("texts-of").textContent = mean ? `By the mean of an occurrence, of those that occur at least ${least} times in the samples of this page.`
      : "By the sum over the samples of this page: frequent words lead, whatever one of them does.";
    fill(tables[2], ["sum", "mean", "times", "token"], added.sort(order).slice(0, TOP)
      .map(([, text, v, c]) => [show(v), show(v / c), c, make("code", text)]), [0, 1, 2]);
  }

  function draw() {
    const mode = at("colour").value, most = extent(), s = samples[sample()];
    at("step-shown").textContent = `${step()} (${+at("step").value + 1} of ${steps.length} measured)`;
    at("step").setAttribute("aria-valuetext", `step ${step()}`);
    at("question").replaceChildren(make("strong", `Sample ${s.sample} (row ${s.row}): `), s.question);
    const from = mode === "weight" ? "rgb(255,255,255)" : mix(NEGATIVE, 1);
    at("bar").style.background = mode === "weight" ? `linear-gradient(to right, ${from}, ${mix(POSITIVE, 1)})`
      : `linear-gradient(to right, ${from}, #fff, ${mix(POSITIVE, 1)})`;
    at("low").textContent = mode === "weight" ? "0" : show(-most);
    at("high").textContent = show(most);
    at("meaning").textContent = MODES[mode][1];
    at("legend").setAttribute("aria-label", `Colours from ${at("low").textContent} to ${show(most)}; ${MODES[mode][1]}`);
    panel("left", most); panel("right", most); lists();
    const hash = new URLSearchParams({ cell: at("cell").value, other: at("other").value, step: step(), sample: s.sample, colour: mode });
    try { history.replaceState(null, "", `#${hash}`); } catch { /* a page inside another may not */ }
  }

  // --- Controls.
  options(at("cell"), cells.map((c, n) => [n, c.name]));
  options(at("other"), [["", "nothing"], ...cells.map((c, n) => [n, c.name])]);
  options(at("colour"), Object.entries(MODES).map(([name, [text]]) => [name, text]));
  options(at("sample"), samples.map((s, n) => [n, `${s.sample}: ${short(s.question, 90)}`]));
  at("step").max = steps.length - 1;
  const asked = new URLSearchParams(location.hash.slice(1));
  const set = (id, v) => { if (v !== null && [...at(id).options].some((o) => o.value === v)) at(id).value = v; };
  const second = cells.findIndex((c, n) => n > 0 && c.regularizer === cells[0].regularizer && c.objective !== cells[0].objective);
  at("other").value = second > 0 ? String(second) : "";
  set("cell", asked.get("cell")); set("other", asked.get("other")); set("colour", asked.get("colour"));
  const known = steps.indexOf(+asked.get("step"));
  at("step").value = asked.has("step") && known >= 0 ? known : Math.min(1, steps.length - 1);
  const wanted = samples.findIndex((s) => String(s.sample) === asked.get("sample"));
  const effects = cellOf("left").samples.e_retain[Math.max(0, cellOf("left").steps.indexOf(step()))];
  const worst = effects.indexOf(Math.min(...effects.filter((v) => v !== null)));
  at("sample").value = wanted >= 0 ? wanted : Math.max(0, worst);
  if (wanted < 0 && worst >= 0)
    at("opened").textContent = `The page opens at step ${step()}${asked.has("step") ? "" : steps.length > 1 ? ", the first measured one after the start" : ""}, and at sample ${samples[worst].sample}: of the samples of this page, the one whose e_retain is lowest there in ${cellOf("left").name} (${show(effects[worst])}), so that to forget it damages retention most.`;
  at("template-note").hidden = !samples.some((s) => s.answer?.[0] > 0 || s.answer?.[1] < s.tokens.length);
  at("no-template-note").hidden = samples.every((s) => s.answer !== null);
  at("sample").addEventListener("input", () => { chosen.left = chosen.right = null; });
  for (const form of document.querySelectorAll("form.controls")) {
    form.addEventListener("input", draw);
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  draw();
})();
