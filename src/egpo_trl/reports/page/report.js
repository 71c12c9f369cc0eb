"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Okabe and Ito: told apart by people who see few colours, and each with a dash of its own.
  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b57d00", "#3a9ad0", "#777777"];
  const DARK = ["#56b4e9", "#ff8a3d", "#35c79c", "#e3a3c6", "#f0c24b", "#9ad4f5", "#b0b0b0"];
  const DASHES = [[], [8, 4], [2, 3], [9, 3, 2, 3], [14, 4]];
  const PAGE = 12;

  // Texts reach the page as text only: no value of a run is ever read as HTML.
  const make = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const number = (value, digits = 3) => {
    if (value === null || value === undefined) return "";
    if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
    return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits);
  };

  const short = (text) => (text.length > 18 ? `${text.slice(0, 17)}…` : text);

  // Charts

  const paint = (chart, place) => {
    const palette = dark.matches ? DARK : LIGHT;
    const style = getComputedStyle(document.documentElement);
    const [ink, line] = ["--quiet", "--line"].map((name) => style.getPropertyValue(name));
    const colour = (one) => palette[one.style % palette.length];
    const kinds = chart.categories; // marks with intervals over names, not lines over steps
    const columns = [chart.steps], series = [{}], bands = [], members = [], intervals = [];
    for (const one of chart.lines) {
      const own = [];
      const add = (values, options) => {
        own.push(series.length);
        columns.push(values);
        series.push({ spanGaps: true, points: { show: false }, ...options });
      };
      if (kinds) {
        intervals[series.length] = one;
        add(one.values, { stroke: colour(one), paths: () => null, points: { show: true, size: 9, fill: colour(one) } });
        members.push(own);
        continue;
      }
      if (one.logged) add(one.logged, { stroke: colour(one) + "55", width: 1 });
      if (one.low) {
        add(one.high, { stroke: colour(one) + "55", width: 0.6 });
        add(one.low, { stroke: colour(one) + "55", width: 0.6 });
        bands.push({ series: [series.length - 2, series.length - 1], fill: colour(one) + "2e" });
      }
      const points = { show: chart.steps.length < 3, size: 7 };
      add(one.values, { stroke: colour(one), width: 2, dash: DASHES[one.style % DASHES.length], points });
      members.push(own);
    }
    const title = make("h3", {}, chart.title, make("span", { class: "quiet" }, ` · ${chart.unit}`));
    const canvas = make("div", { class: "plot", role: "img", "aria-label": `${chart.title} ${kinds ? "by category" : "over the steps"}` });
    const names = make("div", { class: "names" });
    const step = make("output", { class: "quiet", name: "step" });
    const values = chart.lines.map(() => make("output", {}));
    place.replaceChildren(title, canvas, names);

    const last = kinds ? kinds.length - 1 : null;
    const read = (plot) => {
      const at = plot.cursor.idx ?? null;
      const kind = kinds && (at === null ? last : Math.round(chart.steps[at]));
      step.textContent = kinds ? kinds[kind] : at === null ? "last" : `step ${chart.steps[at]}`;
      chart.lines.forEach((one, index) => {
        if (kinds) {
          const own = chart.steps.findIndex((x, n) => Math.round(x) === kind && one.values[n] !== null);
          values[index].textContent = own < 0 ? "" : `${one.values[own].toFixed(1)} (${one.low[own].toFixed(1)} to ${one.high[own].toFixed(1)})`;
          return;
        }
        values[index].textContent = number(at === null ? one.values.findLast((v) => v !== null) : one.values[at]);
      });
    };
    const drawIntervals = (plot, index) => {
      const one = intervals[index], { ctx, bbox } = plot, pixel = devicePixelRatio;
      if (!one || !plot.series[index].show) return;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.beginPath();
      chart.steps.forEach((x, n) => {
        if (one.values[n] === null) return;
        const left = plot.valToPos(x, "x", true);
        const [low, high] = [one.low[n], one.high[n]].map((value) => plot.valToPos(value, "y", true));
        ctx.moveTo(left, low);
        ctx.lineTo(left, high);
        for (const end of [low, high]) {
          ctx.moveTo(left - 4 * pixel, end);
          ctx.lineTo(left + 4 * pixel, end);
        }
      });
      ctx.strokeStyle = colour(one);
      ctx.lineWidth = 1.5 * pixel;
      ctx.stroke();
      ctx.restore();
    };
    const slant = kinds && canvas.clientWidth / kinds.length < 120; // names do not fit side by side
    const range = () => {
      const ends = chart.lines.flatMap((one) => [...one.low, ...one.high]).filter((value) => value !== null);
      const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
      return [low - 0.06 * (high - low), high + 0.06 * (high - low) || 1];
    };
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const size = () => ({ width: Math.max(200, canvas.clientWidth), height: chart.height });
    const plot = new uPlot({
      ...size(), series, bands, legend: { show: false },
      cursor: { sync: { key: kinds ? "kinds" : "steps" }, drag: { x: !kinds, y: false }, points: { size: 6 } },
      scales: kinds ? { x: { time: false, range: () => [-0.5, last + 0.5] }, y: { range } } : { x: { time: false } },
      axes: [kinds ? { ...axis, size: slant ? 96 : 34, rotate: slant ? -40 : 0, grid: { show: false }, splits: () => kinds.map((_, n) => n), values: () => kinds.map(short) }
        : { ...axis, size: 34 }, { ...axis, size: 52 }],
      hooks: { setCursor: [read], ready: [read], drawSeries: [drawIntervals] },
    }, columns, canvas);

    names.append(step);
    chart.lines.forEach((one, index) => {
      const swatch = make("i", {});
      swatch.style.borderTop = `3px ${kinds ? "solid" : ["solid", "dashed", "dotted"][one.style % 3]} ${colour(one)}`;
      const button = make("button", { type: "button", "aria-pressed": "true" }, swatch, one.label, values[index]);
      button.addEventListener("click", () => {
        const show = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", show);
        for (const member of members[index]) plot.setSeries(member, { show });
      });
      names.append(button);
    });
    const observer = new ResizeObserver(() => plot.setSize(size()));
    observer.observe(canvas);
    return () => { observer.disconnect(); plot.destroy(); };
  };

  let painted = [];
  const paintAll = () => {
    painted.forEach((remove) => remove());
    painted = [...document.querySelectorAll(".charts")].flatMap((section, index) => {
      section.replaceChildren();
      return data.sections[index].map((chart) => {
        const place = make("div", { class: "chart" });
        section.append(place);
        return paint(chart, place);
      });
    });
  };
  paintAll();
  dark.addEventListener("change", paintAll);

  // Rollouts

  const section = document.getElementById("rollouts");
  if (!section) return;
  const form = section.querySelector("form");
  const field = (name) => form.elements.namedItem(name);
  const cards = section.querySelector(".cards");
  const more = section.querySelector(".more");
  const entropies = data.rollouts.flatMap((one) => one.turns.flatMap(([, tokens]) => tokens.map((token) => token[1])));
  const largest = entropies.reduce((most, value) => Math.max(most, value ?? 0), 0);
  let group = null, shown = PAGE;

  const options = (name, values, labels = {}) => {
    const all = make("option", { value: "" }, "all");
    field(name).replaceChildren(all, ...values.map((value) => make("option", { value }, labels[value] ?? value)));
  };
  const distinct = (key) => [...new Set(data.rollouts.map((one) => one[key]))];
  const inOrder = [...data.rollouts].sort((a, b) => a.order - b.order);
  const times = [...new Set(inOrder.map((one) => one.when))];
  const counts = {};
  data.rollouts.forEach((one) => { counts[one.reason] = (counts[one.reason] ?? 0) + 1; });
  // Groups that several runs answered, with different rewards.
  const rewards = new Map(), runsOf = new Map();
  for (const one of data.rollouts) {
    rewards.set(one.group, (rewards.get(one.group) ?? new Set()).add(one.reward));
    runsOf.set(one.group, (runsOf.get(one.group) ?? new Set()).add(one.run));
  }
  const differs = (one) => rewards.get(one.group).size > 1 && runsOf.get(one.group).size > 1;
  const DIFFER = "\n"; // not a name
  options("run", [...(data.rollouts.some(differs) ? [DIFFER] : []), ...distinct("run")], { [DIFFER]: "all, where they differ" });
  section.querySelector(".run").hidden = distinct("run").length < 2;
  const halves = data.rollouts.some((one) => one.order < 0) ? ["training", "held out"] : [];
  options("when", [...halves, ...times], { before: "held out, before", after: "held out, after" });
  options("reason", Object.keys(counts).sort((a, b) => counts[b] - counts[a]),
    Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, `${name} (${count})`])));
  section.querySelector(".legend").hidden = largest === 0;
  section.querySelector(".largest").textContent = number(largest, 2);

  const text = (one) => one.turns.map(([, tokens]) => tokens.map((token) => token[0]).join("")).join("\n");
  const isAt = (one, when) => !when || one.when === when || (when === "training" ? one.order >= 0 : when === "held out" && one.order < 0);
  const chosen = () => {
    const [run, when, reason, words] = ["run", "when", "reason", "text"].map((name) => field(name).value);
    const search = words.toLowerCase();
    const found = data.rollouts.filter((one) => (group === null || one.group === group) && (!run || (run === DIFFER ? differs(one) : one.run === run))
      && isAt(one, when) && (!reason || one.reason === reason)
      && (!search || `${one.request}\n${text(one)}`.toLowerCase().includes(search)));
    const sort = field("sort").value, key = sort.slice(0, -1), sign = sort.endsWith("-") ? -1 : 1;
    if (sort === "order") return found; // as recorded: before and after of a row, then training by step
    // without a value: last, whatever the direction
    return found.sort((a, b) => (a[key] === null) - (b[key] === null) || sign * (a[key] - b[key]));
  };

  const turn = ([kind, tokens]) => {
    const pieces = tokens.map(([piece, entropy]) => {
      if (entropy === null || largest === 0) return piece;
      const span = make("span", { title: `${entropy.toFixed(3)} nats` }, piece);
      span.style.background = `rgba(230, 159, 0, ${(0.85 * entropy / largest).toFixed(3)})`;
      return span;
    });
    const body = make("pre", {}, ...pieces);
    if (kind !== "tool") return make("div", { class: kind }, body);
    return make("details", { class: "tool" }, make("summary", {}, "tool result"), body);
  };
  const card = (one) => {
    const right = one.reason === "correct";
    const made = make("article", { class: `card ${right ? "right" : "wrong"}` });
    const header = make("header", {}, make("span", { class: `badge ${right ? "right" : "wrong"}` }, `${right ? "✓" : "✗"} ${one.reason}`));
    const facts = [["run", distinct("run").length > 1 ? one.run : null], ["", one.order < 0 ? `held out, ${one.when}` : one.when],
      ["reward", number(one.reward, 2)], ["advantage", number(one.advantage, 2)], ["entropy", number(one.entropy, 2)]];
    for (const [name, value] of facts) if (value) header.append(make("span", { class: "quiet" }, `${name} ${value}`.trim()));
    if (group === null && data.rollouts.filter((other) => other.group === one.group).length > 1) {
      const button = make("button", { type: "button" }, one.order < 0 ? "Before and after" : runsOf.get(one.group).size > 1 ? "Side by side" : "Whole group");
      button.addEventListener("click", () => { clear(); group = one.group; show(); section.scrollIntoView(); });
      header.append(button);
    }
    made.append(header, make("p", { class: "request" }, make("b", {}, one.request === null ? "Item: " : "Request: "), one.request ?? one.group), ...one.turns.map(turn));
    if (one.reference) made.append(make("footer", {}, "Reference: ", make("code", {}, typeof one.reference === "string" ? one.reference : JSON.stringify(one.reference))));
    return made;
  };
  const show = () => {
    const found = chosen();
    section.querySelector("output").textContent = `${found.length} of ${data.rollouts.length} ${section.querySelector("h2").textContent.toLowerCase()}${group === null ? "" : ", one group side by side"}.`;
    cards.classList.toggle("side", group !== null);
    cards.replaceChildren(...found.slice(0, group === null ? shown : found.length).map(card));
    more.hidden = group !== null || found.length <= shown;
  };
  const clear = () => { form.reset(); group = null; shown = PAGE; };
  form.addEventListener("input", () => { group = null; shown = PAGE; show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  field("clear").addEventListener("click", () => { clear(); show(); });
  more.addEventListener("click", () => { shown += PAGE; show(); });
  show();
})();
