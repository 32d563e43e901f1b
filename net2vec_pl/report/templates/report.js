"use strict";
// What the page of a layer does: two tables, the view of a concept or a filter, map and arithmetic.
// Names may hold anything: they become text nodes and attributes, never markup.
{
  const content = JSON.parse(document.getElementById("content").textContent);
  const { columns, concepts, filterColumns, filters, spaces } = content;
  const at = Object.fromEntries(columns.map((column, place) => [column.name, place]));
  const names = concepts.map((concept) => concept.row[at.name]);
  const conceptOf = new Map(names.map((name, c) => [name, c]));
  const filterPlace = Math.max(filterColumns.findIndex((column) => column.name === "filter"), 0);
  const filterOf = new Map(filters.map((filter, f) => [String(filter.row[filterPlace]), f]));
  const [single, multi] = [["single_val", "multi_val"], ["best_accuracy", "accuracy"]]
    .find(([, name]) => concepts.some((concept) => score(concept, name) !== null)) ?? ["single_val", "multi_val"];
  const view = byId("view");
  let space = spaces[0];

  // Elements
  function byId(id) { return document.getElementById(id); }

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function make(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  function draw(tag, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function note(text) { return make("p", { class: "note" }, text); }

  function score(concept, name) { return concept.row[at[name]] ?? null; }

  // A number as it is read, like those of the other pages.
  function read(value) {
    if (value === null) return "–";
    if (typeof value !== "number") return value;
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e9) return String(value);
    if (size >= 1000 && size < 1e9) return value.toFixed(0);
    return size >= 0.001 && size < 1000 ? value.toFixed(3) : value.toPrecision(2);
  }

  function address(kind, value) { return `#${kind}=${encodeURIComponent(value)}`; }

  function link(kind, value, text = read(value)) {
    const known = kind === "concept" ? conceptOf.has(value) : kind === "filter" && filterOf.has(String(value));
    return known ? make("a", { href: address(kind, value) }, text) : text;
  }

  // Tables; the page's other script sorts them. They start with the highest of one column.
  function fillTable(table, all, items, first) {
    const shown = all.map((column, place) => ({ ...column, place })).filter((column) => column.main);
    for (const column of shown) {
      column.number = items.some((item) => typeof item.row[column.place] === "number");
      column.largest = Math.max(...shown.filter((other) => other.bar).flatMap((other) => items.map((item) => item.row[other.place] ?? 0)), 1e-9);
    }
    const by = all.findIndex((column) => column.name === first && column.main);
    const heads = shown.map((column) => make("th", { scope: "col", class: column.number ? "n" : null, "aria-sort": column.place === by ? "descending" : null },
      make("button", { type: "button", title: column.meaning || null }, column.label)));
    const order = items.map((_, i) => i);
    if (by >= 0) order.sort((i, j) => (items[j].row[by] ?? -Infinity) - (items[i].row[by] ?? -Infinity) || i - j);
    const rows = order.map((i) => make("tr", { "data-at": i }, ...shown.map((column) => cell(column, items[i].row[column.place]))));
    table.append(make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
    table.tBodies[0].addEventListener("click", (event) => {
      if (!event.target.closest("a")) event.target.closest("tr").querySelector("a")?.click();
    });
  }

  function cell(column, value) {
    const text = read(value);
    const kind = [column.number && "n", column.bar && value !== null && "bar"].filter(Boolean).join(" ");
    return make("td", {
      class: kind || null,
      "data-key": typeof value === "number" && String(value) !== text ? value : null,
      style: column.bar && value !== null ? `--tone: var(--${column.bar}); --size: ${(Math.max(value, 0) / column.largest).toFixed(3)}` : null,
    }, link(column.link, value, text));
  }

  function keep(table, output, wanted) {
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !wanted(Number(row.dataset.at));
    output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  }

  const kinds = {
    "with scores": (concept) => score(concept, multi) !== null || score(concept, single) !== null,
    "without scores": (concept) => !kinds["with scores"](concept),
    "embedding ahead": (concept) => difference(concept) > 0,
    "best filter ahead": (concept) => difference(concept) < 0,
  };

  function difference(concept) {
    const [one, all] = [score(concept, single), score(concept, multi)];
    return one === null || all === null ? 0 : all - one;
  }

  function startConcepts() {
    const [table, search, category, kind] = ["table", "search", "category", "kind"].map((part) => byId(`concept-${part}`));
    fillTable(table, columns, concepts, multi);
    category.append(...Object.keys(content.categories).sort().map((name) => make("option", { value: name }, name)));
    kind.append(...Object.keys(kinds).map((name) => make("option", { value: name }, name)));
    const apply = () => {
      const asked = search.value.trim().toLowerCase();
      keep(table, byId("concept-count"), (c) => names[c].toLowerCase().includes(asked)
        && (!category.value || score(concepts[c], "category") === category.value)
        && (!kind.value || kinds[kind.value](concepts[c])));
    };
    for (const control of [search, category, kind]) control.addEventListener("input", apply);
    apply();
  }

  function startFilters() {
    const table = byId("filter-table"), search = byId("filter-search");
    if (!table) return;
    fillTable(table, filterColumns, filters, "n_concepts");
    const apply = () => {
      const asked = search.value.trim();
      keep(table, byId("filter-count"), (f) => String(filters[f].row[filterPlace]).startsWith(asked));
    };
    search.addEventListener("input", apply);
    apply();
  }

  // Pictures and masks
  const loaded = new Map();

  function picture(number) {
    if (!loaded.has(number)) {
      const image = new Image();
      image.src = content.pictures[number];
      loaded.set(number, image.decode().then(() => image));
    }
    return loaded.get(number);
  }

  function bytes(text) { return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); }

  function unpack([name, height, width, text]) {
    const packed = bytes(text);
    return { name, height, width, has: (y, x) =>
      y >= 0 && y < height && x >= 0 && x < width && Boolean((packed[(y * width + x) >> 3] >> (7 - ((y * width + x) & 7))) & 1) };
  }

  function dimOutside(brush, mask, width, height) {
    const small = make("canvas", { width: mask.width, height: mask.height });
    const shade = small.getContext("2d"), pixels = shade.createImageData(mask.width, mask.height);
    for (let y = 0, i = 3; y < mask.height; y++)
      for (let x = 0; x < mask.width; x++, i += 4) pixels.data[i] = mask.has(y, x) ? 0 : 204;
    shade.putImageData(pixels, 0, 0);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(small, 0, 0, width, height);
  }

  function outline(brush, mask, width, height) {
    const [dx, dy] = [width / mask.width, height / mask.height];
    const line = (x, y, right, down) => { brush.moveTo(x * dx, y * dy); brush.lineTo((x + right) * dx, (y + down) * dy); };
    brush.beginPath();
    for (let y = 0; y <= mask.height; y++)
      for (let x = 0; x <= mask.width; x++) {
        if (mask.has(y, x) !== mask.has(y - 1, x)) line(x, y, 1, 0);
        if (mask.has(y, x) !== mask.has(y, x - 1)) line(x, y, 0, 1);
      }
    brush.strokeStyle = "#f0e442";
    brush.lineWidth = 2.5;
    brush.stroke();
  }

  // Stripes over what is unknown.
  function hatch(brush, mask, width, height) {
    brush.fillStyle = "#c0c0c0";
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        if ((x + y) % 8 < 2 && mask.has(Math.floor((y * mask.height) / height), Math.floor((x * mask.width) / width)))
          brush.fillRect(x, y, 1, 1);
  }

  // The masks of an example to be shown, and those drawn over all of them.
  function sorted(example) {
    const all = example.masks.map(unpack), named = (name) => all.find((mask) => mask.name === name);
    return { masks: all.filter((mask) => mask.name !== "unknown"), truth: named("ground truth"), unsure: named("unknown") };
  }

  function panel(number, mask, truth, unsure, label) {
    const canvas = make("canvas", { width: 224, height: 224, role: "img", "aria-label": label, "aria-busy": "true" });
    picture(number).then((image) => {
      const [width, height] = [224, Math.round((224 * image.naturalHeight) / image.naturalWidth)];
      canvas.height = height;
      const brush = canvas.getContext("2d");
      brush.drawImage(image, 0, 0, width, height);
      if (mask) dimOutside(brush, mask, width, height);
      if (unsure) hatch(brush, unsure, width, height);
      if (truth) outline(brush, truth, width, height);
      canvas.removeAttribute("aria-busy");
    });
    return canvas;
  }

  function exampleFigure(example, name) {
    const { masks, truth, unsure } = sorted(example);
    const panels = [null, ...masks].map((mask) => {
      const label = mask ? mask.name : "picture";
      return make("div", {}, label, panel(example.picture, mask, truth, unsure, `${name}: ${label}. ${example.caption}`));
    });
    return make("figure", { class: "example" }, make("div", { class: "panels" }, ...panels), make("figcaption", {}, example.caption));
  }

  // The first thing to look at: concepts at equal steps from the best found to the worst.
  function startOverview() {
    const order = names.map((_, c) => c).filter((c) => score(concepts[c], multi) !== null && typical(c))
      .sort((a, b) => score(concepts[b], multi) - score(concepts[a], multi));
    const most = Math.min(order.length, 6);
    const chosen = Array.from({ length: most }, (_, i) => order[Math.round((i * (order.length - 1)) / Math.max(most - 1, 1))]);
    byId("overview").append(...chosen.map((c) => {
      const { masks, truth, unsure } = sorted(typical(c)), found = masks.find((mask) => mask.name === "embedding");
      return make("figure", {}, panel(typical(c).picture, found, truth, unsure, `${names[c]}: mask of the embedding`),
        make("figcaption", {}, link("concept", names[c]), ` ${read(score(concepts[c], multi))}`));
    }));
    for (const id of ["overview", "overview-note"]) byId(id).hidden = !chosen.length;
  }

  // Examples go from the best segmented to the worst: the one in the middle.
  function typical(c) {
    const shown = concepts[c].examples.filter((example) => example.masks.some(([name]) => name === "embedding"));
    return shown[Math.floor((shown.length - 1) / 2)];
  }

  function thumb(number, text) {
    return make("figure", {}, make("img", { src: content.pictures[number], alt: `val image, ${text}` }), make("figcaption", {}, text));
  }

  // Plots
  function text(x, y, words, anchor = "middle") { return draw("text", { x, y, "text-anchor": anchor }, words); }

  function histogram(scores, name) {
    const [left, top, width, height] = [40, 12, 440, 130];
    const level = (count) => (count > 0 ? 0.35 + Math.log10(count) : 0); // one image can be seen
    const highest = Math.max(...[...scores.present, ...scores.absent].map(level), 1);
    const [low, high] = [scores.edges[0], scores.edges.at(-1)];
    const x = (value) => left + (width * (value - low)) / (high - low || 1);
    const y = (count) => top + height * (1 - level(count) / highest);
    const bars = (counts, kind) => counts.map((count, i) => draw("rect", { class: `${kind} bars-over`,
      x: x(scores.edges[i]), y: y(count), width: Math.max(x(scores.edges[i + 1]) - x(scores.edges[i]) - 0.5, 0.5), height: top + height - y(count) }));
    const total = (counts) => counts.reduce((sum, count) => sum + count, 0);
    const ticks = [1, 10, 100, 1000, 10000, 100000].filter((count) => level(count) <= highest);
    const words = `${total(scores.present)} val images with the concept, ${total(scores.absent)} without, by score along the ${name}, from ${read(low)} to ${read(high)}`;
    return draw("svg", { class: "plot", viewBox: "0 0 490 190", role: "img", "aria-label": words },
      ...ticks.flatMap((count) => [draw("line", { x1: left, x2: left + width, y1: y(count), y2: y(count) }), text(left - 5, y(count) + 4, count, "end")]),
      ...bars(scores.absent, "absent"), ...bars(scores.present, "multi"),
      text(left, 158, read(low), "start"), text(left + width, 158, read(high), "end"), text(left + width / 2, 158, "score of the image"), text(2, 9, "images", "start"),
      draw("rect", { class: "multi bars-over", x: left, y: 172, width: 11, height: 11 }), text(left + 16, 182, `with the concept (${total(scores.present)})`, "start"),
      draw("rect", { class: "absent bars-over", x: left + 190, y: 172, width: 11, height: 11 }), text(left + 206, 182, `without (${total(scores.absent)})`, "start"));
  }

  function curvePlot(curve, one) {
    const [left, top, width, height] = [40, 12, 430, 130];
    const highest = Math.max(...curve.map(([, value]) => value ?? 0), one ?? 0, 0.01);
    const [first, last] = [curve[0][0], curve.at(-1)[0]].map(Math.log2);
    const x = (count) => left + (width * (Math.log2(count) - first)) / (last - first || 1);
    const y = (value) => top + height * (1 - value / highest);
    const points = curve.filter(([, value]) => value !== null);
    const level = (value, kind) => draw("line", { class: kind, x1: left, x2: left + width, y1: y(value), y2: y(value) });
    const named = points.map(([count]) => count).reduceRight((kept, count) => (kept.length && x(kept[0]) - x(count) < 26 ? kept : [count, ...kept]), []);
    const words = `Set IoU on val by number of filters: ${points.map(([count, value]) => `${count}: ${read(value)}`).join(", ")}`;
    return draw("svg", { class: "plot", viewBox: "0 0 490 190", role: "img", "aria-label": words },
      ...[0, highest / 2, highest].flatMap((value) => [level(value, null), text(left - 5, y(value) + 4, value.toFixed(2), "end")]),
      ...(one === null ? [] : [level(one, "single")]),
      draw("polyline", { points: points.map(([count, value]) => `${x(count)},${y(value)}`).join(" ") }),
      ...points.map(([count, value]) => draw("circle", { class: "multi", cx: x(count), cy: y(value), r: 3.5 })),
      ...named.map((count) => text(x(count), 158, count)),
      text(left + width / 2, 180, `number of filters${one === null ? "" : "; dashed: the best filter"}`));
  }

  function barList(items, tone = "multi") {
    const values = items.map((item) => item.value ?? 0);
    const low = Math.min(...values, 0), reach = Math.max(...values, 0) - low || 1;
    const share = (value) => `${((100 * (value - low)) / reach).toFixed(1)}%`;
    const rows = items.map(({ label, value }) => make("li", {}, label, make("span", { class: "track",
      style: `--tone: var(--${tone}); --zero: ${share(0)}; --from: ${share(Math.min(value, 0))}; --to: ${share(Math.max(value, 0))}` }),
    make("span", { class: "value" }, value.toFixed(3))));
    return make("ol", { class: "bars" }, ...rows);
  }

  // The view of a concept or a filter
  function part(title, ...children) { return make("section", {}, make("h3", {}, title), ...children); }

  function numbers(all, row) {
    return make("dl", { class: "numbers" }, ...all.flatMap((column, place) => ["name", "category", "filter"].includes(column.name) ? []
      : [make("div", {}, make("dt", { title: column.meaning || null }, column.label), make("dd", {}, link(column.link, row[place])))]));
  }

  function show(title, small, steps, ...children) {
    const heading = make("h2", { id: "view-title", tabindex: -1 }, title, ...(small ? [make("small", {}, small)] : []));
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => view.close());
    view.replaceChildren(make("div", { class: "head" }, heading, ...steps, close), make("div", { class: "sheet" }, ...children));
    if (!view.open) view.showModal();
    heading.focus();
    view.scrollTop = 0;
  }

  // Links to the rows before and after, as the table is sorted and filtered.
  function steps(table, i, kind, value) {
    const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => Number(row.dataset.at));
    const place = shown.indexOf(i);
    return [["‹ previous", shown[place - 1]], ["next ›", place < 0 ? undefined : shown[place + 1]]].filter(([, to]) => to !== undefined)
      .map(([words, to]) => make("a", { href: address(kind, value(to)), title: value(to) }, words));
  }

  function showConcept(name) {
    const c = conceptOf.get(name), concept = concepts[c];
    if (!concept) return show("Not found", "", [], make("p", {}, unknown(name)));
    const examples = concept.examples.map((example) => exampleFigure(example, name));
    const striped = concept.examples.some((example) => sorted(example).unsure) ? " Stripes are pixels where it is unknown." : "";
    show(name, score(concept, "category"), steps(byId("concept-table"), c, "concept", (i) => names[i]),
      numbers(columns, concept.row),
      part("On val images that contain it", note("From the best segmented to the worst. Dark is what lies outside a mask; the yellow line is the ground truth." + striped),
        examples.length ? make("div", { class: "columns" }, ...examples) : note("No example was kept of this concept.")),
      part("How images score", ...scoreParts(concept)),
      make("div", { class: "columns" },
        ...(concept.curve.length ? [part("How many filters it needs", curvePlot(concept.curve, score(concept, "single_val")))] : []),
        ...spaces.flatMap((space) => spaceParts(space, c))),
      concept.curve.length ? "" : note("How many filters it needs was not asked: analysis=all on the command line does."));
  }

  function scoreParts(concept) {
    if (!concept.scores.length) return [note("No scores of images were kept for this concept.")];
    return [note(`An image scores by its ${content.score}. Below: images at percentiles of the scores other than 0, from lowest to highest.`),
      make("div", { class: "columns" }, ...concept.scores.map((scores) => make("div", {}, make("h4", {}, scores.name),
        scores.present.length ? histogram(scores, scores.name) : note("No histogram was kept."),
        make("div", { class: "strip" }, ...scores.pictures.map(([number, percentile, value]) =>
          thumb(number, `${read(percentile)} %: ${read(value)}`))))))];
  }

  function spaceParts(space, c) {
    const which = spaces.length > 1 ? `, ${space.name}` : "";
    const weights = (concepts[c].filters[space.name] ?? []).map(([filter, value]) => ({ label: link("filter", filter, `filter ${filter}`), value }));
    const ranked = nearest(space, c), shown = ranked.slice(0, 8);
    const more = ranked.slice(8).filter(({ cosine }) => cosine === shown[7].cosine).length;
    const near = shown.map(({ concept, cosine }) => ({ label: link("concept", names[concept]), value: cosine }));
    return [
      part(`Filters of largest weight${which}`, ...(weights.length ? [note("By size, whatever the sign."), barList(weights)] : [note("It has no weights here.")])),
      part(`Nearest concepts${which}`, ...(near.length ? [note(`By the cosine of their embeddings.${more ? ` ${more} more as near as the last.` : ""}`), barList(near)]
        : [note(hasDirection(space, c) ? "There is no other embedding." : "It has no embedding here.")])),
    ];
  }

  function showFilter(number) {
    const f = filterOf.get(number), filter = filters[f];
    if (!filter) return show("Not found", "", [], make("p", {}, `There is no filter ${number} on this page.`));
    const helped = filter.concepts.map(([c, value]) => ({ label: link("concept", names[c]), value }));
    const liked = filter.pictures.map(([picture, value]) => thumb(picture, read(value)));
    show(`Filter ${number}`, "", steps(byId("filter-table"), f, "filter", (i) => filters[i].row[filterPlace]),
      numbers(filterColumns, filter.row),
      part("Concepts that rely on it", note("By the weight that their embeddings, of unit length, give it."), helped.length ? barList(helped) : note("No embedding gives it a positive weight.")),
      part("Val images it likes most", liked.length ? note("By its largest activation anywhere.") : "",
        liked.length ? make("div", { class: "strip" }, ...liked) : note("It answers to none of the val images on this page.")));
  }

  // The address says what is open, so Back works and a link can be sent.
  function opened() {
    const [, kind, value] = /^#(concept|filter)=(.*)$/.exec(location.hash) ?? [];
    try { return [kind, value && decodeURIComponent(value)]; } catch { return [kind, value]; }
  }

  function follow() {
    const [kind, value] = opened();
    if (kind === "concept") showConcept(value);
    else if (kind === "filter") showFilter(value);
    else if (view.open) view.close();
  }

  // Cosines, and what follows from them
  const triangles = new Map();

  // 16-bit integers, a unit being 32767; undefined where there is no embedding.
  function whole(space, a, b) {
    if (!triangles.has(space)) triangles.set(space, new Int16Array(bytes(space.cosine).buffer));
    const [i, j] = a < b ? [a, b] : [b, a];
    const value = triangles.get(space)[i * names.length - (i * (i - 1)) / 2 + j - i];
    return value === -32768 ? undefined : value;
  }

  function hasDirection(space, c) { return whole(space, c, c) !== undefined; }

  function nearest(space, c) {
    if (!hasDirection(space, c)) return [];
    return names.map((_, other) => ({ concept: other, cosine: whole(space, c, other) / 32767 }))
      .filter(({ concept, cosine }) => concept !== c && !Number.isNaN(cosine))
      .sort((a, b) => b.cosine - a.cosine);
  }

  function unknown(name) {
    const near = nearNames(name);
    return `There is no concept '${name}' on this page.${near.length ? ` Did you mean ${near.map((other) => `'${other}'`).join(" or ")}?` : ""}`;
  }

  // By the share of pairs of letters in common.
  function nearNames(name) {
    const pairs = (word) => new Set([...` ${word.toLowerCase()}`].map((letter, i, all) => letter + (all[i + 1] ?? " ")));
    const asked = pairs(name);
    const alike = names.map((other) => {
      const theirs = pairs(other);
      return { other, share: (2 * [...asked].filter((pair) => theirs.has(pair)).length) / (asked.size + theirs.size) };
    });
    return alike.filter(({ share }) => share >= 0.4).sort((a, b) => b.share - a.share).slice(0, 3).map(({ other }) => other);
  }

  // As analysis/space.py: a sign is one only between spaces, for names hold hyphens, and outside quotes.
  const TERM = /(?:"((?:[^"]|"")*)"|'((?:[^']|'')*)'|(.+?))(?:\s+([+−-])\s+|$)/gs;

  function parse(sum) {
    const parts = [...sum.trim().matchAll(TERM)];
    return {
      terms: parts.map(([, double, single, plain]) => double?.replaceAll('""', '"') ?? single?.replaceAll("''", "'") ?? plain),
      signs: [1, ...parts.slice(0, -1).map((part) => (part[4] === "+" ? 1 : -1))],
    };
  }

  // A name as it stands in a sum.
  function termOf(name) {
    const isPlain = !/^["']/.test(name) && parse(`a + ${name} + b`).terms[1] === name;
    return isPlain ? name : `"${name.replaceAll('"', '""')}"`;
  }

  // Cosines with the mean of the signed unit vectors, which is not of unit length.
  function answer(space, sum, most) {
    const { terms, signs } = parse(sum);
    const strange = terms.find((term) => !conceptOf.has(term));
    if (strange !== undefined) return { problem: `${unknown(strange)} Terms are joined by ' + ' and ' - ', with the spaces; a name with such a sign in it stands in quotes.` };
    const chosen = terms.map((term) => conceptOf.get(term));
    const without = chosen.filter((c) => !hasDirection(space, c));
    if (without.length) return { problem: `${without.map((c) => names[c]).join(", ")}: no embedding here.` };
    const dot = (c) => chosen.reduce((total, term, i) => total + signs[i] * whole(space, term, c), 0);
    const squared = chosen.reduce((total, term, i) => total + signs[i] * dot(term), 0) / 32767 / terms.length ** 2;
    if (squared < 1e-4) return { problem: "The terms cancel: nothing is left to compare with." };
    const found = names.map((_, c) => c).filter((c) => hasDirection(space, c) && !chosen.includes(c))
      .map((concept) => ({ concept, cosine: dot(concept) / 32767 / terms.length / Math.sqrt(squared) })).sort((a, b) => b.cosine - a.cosine).slice(0, most);
    return { found };
  }

  function showAnswer() {
    const sum = byId("sum-text").value, output = byId("sum-answer");
    if (!sum.trim()) return output.replaceChildren();
    const { problem, found } = answer(space, sum, 8);
    if (problem) return output.replaceChildren(make("p", {}, problem));
    if (!found.length) return output.replaceChildren(note("There is no other concept to answer with."));
    const list = barList(found.map(({ concept, cosine }) => ({ label: link("concept", names[concept]), value: cosine })));
    output.replaceChildren(note("By the cosine with that mean; the terms themselves are left out."), list);
  }

  // The list completes the last term only.
  function complete() {
    const sum = byId("sum-text").value, last = [...sum.matchAll(TERM)].at(-1);
    const start = !last ? 0 : last[4] ? sum.length : last.index;
    const asked = sum.slice(start).trim().replace(/^["']/, "").toLowerCase();
    const fitting = names.filter((name, c) => name.toLowerCase().includes(asked) && hasDirection(space, c)).slice(0, 30);
    byId("sum-names").replaceChildren(...fitting.map((name) => make("option", { value: sum.slice(0, start) + termOf(name) })));
  }

  function startArithmetic() {
    const form = byId("sum"), input = byId("sum-text");
    form.addEventListener("submit", (event) => { event.preventDefault(); showAnswer(); });
    input.addEventListener("input", complete);
    const some = names.filter((_, c) => hasDirection(space, c)).slice(0, 2);
    input.placeholder = some.map(termOf).join(" + ");
    complete();
  }

  // The map
  const map = { chosen: "", points: [] };

  function startMap() {
    byId("map-search").addEventListener("input", highlight);
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 2) return;
      width = entry.contentRect.width;
      drawMap(width);
    }).observe(byId("map"));
  }

  function drawLegend(shown) {
    const buttons = Object.entries(content.categories).filter(([category]) => shown.includes(category)).map(([category, colour]) => {
      const words = `${category} (${shown.filter((other) => other === category).length})`;
      const button = make("button", { type: "button", "aria-pressed": String(map.chosen === category) }, make("i", { style: `background: ${ink(colour)}` }), words);
      button.addEventListener("click", () => {
        map.chosen = map.chosen === category ? "" : category;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button && map.chosen !== ""));
        highlight();
      });
      return button;
    });
    byId("legend").replaceChildren(...buttons);
  }

  function ink(colour) { return colour === "#000000" ? "var(--ink)" : colour; }

  function drawMap(width) {
    const placed = names.map((_, c) => c).filter((c) => space.position[c].every((value) => value !== null));
    byId("map-note").textContent = placed.length ? `${placed.length} concepts${placed.length < names.length ? ` (${names.length - placed.length} have no embedding)` : ""}. ${space.note}` : `There is no map. ${space.note}`;
    byId("map").replaceChildren();
    drawLegend(placed.map((c) => score(concepts[c], "category")));
    if (!placed.length) return;
    const height = Math.max(Math.min(width * 0.62, 640), 340);
    map.points = inFrame(placed, width, height);
    map.svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Map of embeddings: arrow keys go from concept to concept, Enter opens one" });
    for (const point of map.points) point.node = draw("a", { href: address("concept", names[point.c]), tabindex: -1, "aria-label": `${names[point.c]}, ${score(concepts[point.c], "category")}` },
      draw("circle", { cx: point.x, cy: point.y, r: map.points.length > 300 ? 3.5 : 5.5, fill: ink(content.categories[score(concepts[point.c], "category")]) }));
    map.labels = draw("g", { "aria-hidden": "true" });
    map.size = { width, height };
    map.svg.append(...map.points.map((point) => point.node), map.labels);
    map.points[0].node.setAttribute("tabindex", 0);
    listen(map.svg);
    byId("map").append(map.svg);
    highlight();
  }

  function inFrame(placed, width, height) {
    const along = (axis) => {
      const values = placed.map((c) => space.position[c][axis]), low = Math.min(...values);
      return [low, Math.max(...values) - low];
    };
    const [[left, wide], [bottom, high]] = [along(0), along(1)];
    const [margin, room] = [Math.min(40, width / 12), 24];
    return placed.map((c) => ({ c,
      x: wide ? margin + ((width - 2 * margin) * (space.position[c][0] - left)) / wide : width / 2,
      y: high ? height - room - ((height - 2 * room) * (space.position[c][1] - bottom)) / high : height / 2 }));
  }

  function listen(svg) {
    const pointOf = (event) => map.points.find((point) => point.node === event.target.closest("a"));
    for (const kind of ["pointerover", "focusin"]) svg.addEventListener(kind, (event) => tell(pointOf(event)));
    for (const kind of ["pointerout", "focusout"]) svg.addEventListener(kind, () => tell());
    svg.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const from = pointOf(event);
      if (!way || !from) return;
      event.preventDefault();
      step(from, way)?.node.focus();
    });
    svg.addEventListener("focusin", (event) => {
      for (const point of map.points) if (point.node.getAttribute("tabindex") === "0") point.node.setAttribute("tabindex", -1);
      pointOf(event)?.node.setAttribute("tabindex", 0);
    });
  }

  // The nearest point in a direction; what lies aside counts as further away.
  function step(from, [right, down]) {
    let best, least = Infinity;
    for (const point of map.points) {
      const ahead = (point.x - from.x) * right + (point.y - from.y) * down;
      const aside = Math.abs((point.x - from.x) * down) + Math.abs((point.y - from.y) * right);
      if (point !== from && ahead > 0 && ahead + 2 * aside < least) [best, least] = [point, ahead + 2 * aside];
    }
    return best;
  }

  function tell(point) {
    map.svg.querySelector("text.told")?.remove();
    map.svg.querySelector("a.told")?.classList.remove("told");
    if (!point) return;
    point.node.classList.add("told");
    const left = point.x < map.size.width / 2;
    map.svg.append(draw("text", { class: "told", x: point.x + (left ? 10 : -10), y: point.y < 20 ? point.y + 16 : point.y - 7, "text-anchor": left ? "start" : "end" },
      shorten(point.node.getAttribute("aria-label"), 44)));
  }

  function highlight() {
    const asked = byId("map-search").value.trim().toLowerCase();
    if (!map.svg) return;
    const hits = map.points.filter(({ c }) => names[c].toLowerCase().includes(asked) && (!map.chosen || score(concepts[c], "category") === map.chosen));
    map.svg.classList.toggle("some", Boolean(asked || map.chosen));
    for (const point of map.points) point.node.classList.remove("hit");
    for (const point of hits) point.node.classList.add("hit");
    map.labels.replaceChildren(...labels(hits));
  }

  // Names of the best scored first, on the first free side of their points.
  function labels(points) {
    const ruler = make("canvas").getContext("2d"), taken = map.points.map(({ x, y }) => [x - 3, y - 3, x + 3, y + 3]), made = [];
    ruler.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const value = ({ c }) => score(concepts[c], multi) ?? -1;
    for (const point of [...points].sort((a, b) => value(b) - value(a))) {
      const words = shorten(names[point.c], 22), half = ruler.measureText(words).width / 2;
      for (const [right, down] of [[1, 0], [-1, 0], [0, -1], [0, 1]]) {
        const [x, y] = [point.x + right * (half + 7), point.y + down * 13];
        const box = [x - half, y - 6, x + half, y + 6];
        if (box[0] < 0 || box[1] < 0 || box[2] > map.size.width || box[3] > map.size.height) continue;
        if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
        taken.push(box);
        made.push(draw("text", { x, y: y + 4, "text-anchor": "middle" }, words));
        break;
      }
    }
    return made;
  }

  function shorten(name, most) { return name.length > most ? `${name.slice(0, most - 1)}…` : name; }

  function startSpaces() {
    const box = byId("spaces");
    box.hidden = spaces.length < 2;
    box.append(...spaces.map((one) => {
      const radio = make("input", { type: "radio", name: "space", value: one.name });
      radio.checked = one === space;
      radio.addEventListener("change", () => { space = one; drawMap(byId("map").clientWidth); complete(); showAnswer(); });
      return make("label", {}, radio, ` ${one.name}`);
    }));
  }

  function startPrinting() {
    const more = document.querySelectorAll("details.more");
    addEventListener("beforeprint", () => { for (const one of more) one.open = true; });
    addEventListener("afterprint", () => { for (const one of more) one.open = false; });
  }

  startOverview();
  startConcepts();
  startFilters();
  startSpaces();
  startMap();
  startArithmetic();
  startPrinting();
  view.addEventListener("close", () => { if (opened()[0]) history.pushState(null, "", "#"); });
  view.addEventListener("click", (event) => { if (event.target === view) view.close(); });
  addEventListener("hashchange", follow);
  follow();
}
