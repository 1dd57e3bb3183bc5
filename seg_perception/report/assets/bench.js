// The page of the speed benchmark: targets, latency, baselines, ROS 2, grid, GPU, scaling and soak test.

// Okabe and Ito's colours, which colour-blind readers can distinguish too (jfly.uni-koeln.de/color).
const COLOURS = {
  resize: '#b8a800', ground: '#cc79a7', network: '#8a8f98', risk: '#d55e00', fuse: '#0072b2', costmap: '#009e73',
  baseline: '#e69f00', pipeline: '#0072b2', memory: '#009e73', plan: '#8a8f98', run: '#d55e00',
};
const SCALED = {
  image: 'pixels of the image', classes: 'classes', cells: 'cells of the grid', cameras: 'cameras',
  bag: 'frames of a bag, replayed',
};
const ms = (value) => figure(value, ' ms');
const times = (value) => figure(value, '×');
const FORMS = { share: percent, times, ms };
const written = (value, form) => (typeof value === 'number' ? FORMS[form](value) : '–');
const nameOf = ({ width, height, classes, cells }) => `${width}×${height}, ${classes} classes, ${cells}² cells`;
const { parts } = summary;

function fillHead() {
  const { name, width, height, classes } = summary.network;
  byId('title').textContent = `${name}, ${width}×${height}, ${classes} classes`;
  document.title = `${name} · bench`;
  const { cores, processor, load } = summary.machine;
  byId('subtitle').textContent = `${processor}, ${cores} cores, load ${figure(load)} at the start`
    + (summary.quick ? '; a quick run: few cases, few rounds' : '');
  const met = summary.targets.filter((target) => target.met).length;
  tile('targets met', summary.targets.length ? `${met} of ${summary.targets.length}` : '–');
}

function fillTargets() {
  const rows = summary.targets.map(({ what, figure: { value, low, high }, limit, side, form, met }) => {
    const verdict = make('span', { class: `verdict ${met ? 'met' : 'missed'}` }, met ? 'met' : 'missed');
    const interval = low === high ? '' : ` (${written(low, form)} to ${written(high, form)})`;
    const target = `${side === 'most' ? 'at most' : 'at least'} ${written(limit, form)}`;
    return [what, `${written(value, form)}${interval}`, target, verdict];
  });
  fillTable('targets', ['what', '#figure', '#target', ''], rows);
}

function keys(id, names) {
  byId(id).append(...Object.entries(names).map(([name, text]) => withSwatch(COLOURS[name], text)));
}

/** Stages as one bar, its length in the proportion of `longest`. */
function stack(stages, longest) {
  const piece = ([name, value]) => make('i', {
    style: `width:${(100 * value) / longest}%;background:${COLOURS[name]}`, title: `${name} ${ms(value)}`,
  });
  return make('div', { class: 'stack' }, ...Object.entries(stages).map(piece));
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function fillLatency() {
  const rows = parts.latency ?? [];
  const longest = Math.max(...rows.map(({ stages_ms: stages }) => sum(Object.values(stages))));
  if (rows.length) keys('stage-keys', Object.fromEntries(Object.keys(rows[0].stages_ms).map((name) => [name, name])));
  const head = ['', 'where the time goes', '#overhead', '#95 % interval', '#network p50', '#pipeline p50', '#p95', '#p99', '#spread', '#maps'];
  fillTable('latency', head, rows.map((row) => {
    const { pipeline_ms: pipeline, network_ms: network, overhead: { value, low, high } } = row;
    return [
      nameOf(row), stack(row.stages_ms, longest), percent(value), `${percent(low)} to ${percent(high)}`,
      ms(network.p50), ms(pipeline.p50), ms(pipeline.p95), ms(pipeline.p99), percent(pipeline.spread), ms(row.maps_ms),
    ];
  }));
}

/** p50 as a dot and the path to p99 as a line, for several things one below the other. */
function range(things, longest) {
  const place = (value) => (100 * value) / longest;
  const marks = things.flatMap(([name, { p50, p99 }], line) => [
    make('i', {
      style: `left:${place(p50)}%;width:${place(p99 - p50)}%;top:${6 + 10 * line}px;background:${COLOURS[name]}`,
      title: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    }),
    make('b', { style: `left:${place(p50)}%;top:${6 + 10 * line}px;background:${COLOURS[name]}` }),
  ]);
  return make('div', { class: 'range', style: `height:${2 + 10 * things.length}px` }, ...marks);
}

function fillBaselines() {
  const rows = parts.baselines ?? [];
  const longest = Math.max(...rows.flatMap((row) => [row.after_network_ms.p99, row.overhead_ms]));
  if (rows.length) keys('baseline-keys', { baseline: 'baseline, after the network', pipeline: 'this pipeline, without the network' });
  const head = ['', '', '#baseline p50', '#p95', '#p99', '#this pipeline', '#speedup', '#95 % interval', '#whole frame'];
  fillTable('baselines', head, rows.map((row) => {
    const { after_network_ms: baseline, overhead_ms: overhead, speedup, whole_frame: whole } = row;
    const chart = range([['baseline', baseline], ['pipeline', { p50: overhead, p99: overhead }]], longest);
    return [
      `${row.baseline}; ${nameOf(row)}`, chart, ms(baseline.p50), ms(baseline.p95), ms(baseline.p99), ms(overhead), times(speedup.value),
      `${times(speedup.low)} to ${times(speedup.high)}`, times(whole.value),
    ];
  }));
  const compared = ['labels', 'confidence', 'expected_cost', 'cells', 'lethal'];
  fillTable('agreement', ['', 'source', 'does not make', ...compared.map((name) => `#${plain(name)}`)], rows.map((row) => [
    `${row.baseline}; ${nameOf(row)}`, row.source, row.lacks, ...compared.map((name) => percent(row.agreement[name])),
  ]));
}

function fillCameras() {
  const rows = parts.ros ?? [];
  const head = ['', '#images', '#became costmaps', '#p50', '#p95', '#p99', '#cores, without the network', '#memory'];
  fillTable('cameras', head, rows.map((row) => {
    const { width, height, transport, rate, latency_ms: latency } = row;
    return [
      `${width}×${height} ${transport} at ${rate} Hz`, row.images, percent(row.received), ...['p50', 'p95', 'p99'].map((name) => (latency ? ms(latency[name]) : '–')),
      figure(row.cores), figure(row.rss_mb, ' MB'),
    ];
  }));
  byId('ros').hidden = !rows.length;
}

function fillGpu() {
  const { rows = [], skipped = [] } = parts.gpu ?? {};
  const longest = Math.max(...rows.flatMap((row) => [row.run_ms.p99, row.pipeline_ms.p99]));
  if (rows.length) keys('gpu-keys', { plan: 'engine only', run: 'end to end', pipeline: 'pipeline' });
  const percentiles = ({ p50, p95, p99 }) => `${figure(p50)} / ${figure(p95)} / ${ms(p99)}`;
  fillTable('plans', ['', '', '#engine only', '#end to end', '#pipeline', '#network'], rows.map((row) => {
    const { plan_ms: plan, run_ms: run, pipeline_ms: pipeline, network_ms: network } = row;
    const chart = range([['plan', plan], ['run', run], ['pipeline', pipeline]], longest);
    return [row.engine, chart, ...[plan, run, pipeline, network].map(percentiles)];
  }));
  const estimated = ({ value, low, high }, write) => `${write(value)} (${write(low)} to ${write(high)})`;
  const head = ['', '#end to end over engine only', '#pipeline over end to end', '#overhead'];
  fillTable('plan-ratios', head, rows.map((row) => [
    row.engine, estimated(row.run_over_plan, times), estimated(row.pipeline_over_run, times), estimated(row.overhead, percent),
  ]));
  byId('skipped').append(...skipped.map((sentence) => make('p', {}, sentence)));
  byId('gpu').hidden = !parts.gpu;
}

/** A curve over x, both from 0, in a box of 320 x 130; `write` makes text of a value. */
function chart(rows, name, colour, write) {
  const svg = shape('svg', { viewBox: '-44 -8 392 166', role: 'img', 'aria-label': plain(name) });
  const right = Math.max(...rows.map(({ x }) => x));
  const top = Math.max(...rows.map((row) => row[name]));
  const text = (x, y, content, anchor) => {
    const element = shape('text', { x, y, 'text-anchor': anchor });
    element.textContent = content;
    return element;
  };
  svg.append(
    shape('line', { class: 'axis', x1: 0, y1: 130, x2: 320, y2: 130 }),
    shape('line', { class: 'axis', x1: 0, y1: 0, x2: 0, y2: 130 }),
    text(-4, 133, '0', 'end'), text(-4, 4, write(top), 'end'),
  );
  const points = rows.map((row) => [(320 * row.x) / right, 130 - (130 * row[name]) / top]);
  svg.append(shape('polyline', { points: points.map((point) => point.join(',')).join(' '), stroke: COLOURS[colour] }));
  let free = 400;
  for (const [i, [cx, cy]] of [...points.entries()].reverse()) {
    const dot = shape('circle', { cx, cy, r: 3, fill: COLOURS[colour] });
    dot.append(shape('title', {}));
    dot.firstChild.textContent = `${rows[i].name}: ${write(rows[i][name])}`;
    svg.append(dot);
    const room = 3.2 * rows[i].name.length;
    if (cx + room < free) {
      svg.append(text(cx, 145, rows[i].name, 'middle'));
      free = cx - room - 4;
    }
  }
  return svg;
}

function drawScaling() {
  for (const [what, rows] of Object.entries(parts.scaling ?? {})) {
    const isBag = what === 'bag';
    const by = `by ${SCALED[what]}`;
    const time = isBag ? chart(rows, 'frame_ms', 'pipeline', ms) : chart(rows, 'overhead', 'pipeline', percent);
    const memory = chart(rows, isBag ? 'rss_mb' : 'peak_mb', 'memory', (value) => figure(value, ' MB'));
    byId('scaling-charts').append(
      make('figure', {}, make('h3', {}, isBag ? `Time of a frame ${by}` : `Overhead ${by}`), time),
      make('figure', {}, make('h3', {}, `Memory ${by}`), memory),
    );
  }
  byId('scaling').hidden = !parts.scaling;
}

function drawGrids() {
  for (const projection of new Set((parts.grid ?? []).map((row) => row.projection))) {
    const rows = parts.grid.filter((row) => row.projection === projection);
    const points = rows.map(({ cells, grid_ms: { p50 } }) => ({ x: cells ** 2, name: `${cells}²`, p50 }));
    byId('grid-charts').append(make('figure', {}, make('h3', {}, `Median by cells, ${projection}`), chart(points, 'p50', 'pipeline', ms)));
  }
  byId('grid').hidden = !parts.grid;
}

function drawSoak() {
  for (const [path, rows] of Object.entries(parts.soak ?? {})) {
    const named = rows.map((row) => ({ ...row, name: `${row.x}` }));
    const memory = chart(named, 'rss_mb', 'memory', (value) => figure(value, ' MB'));
    byId('soak-charts').append(make('figure', {}, make('h3', {}, `Memory by frames, ${path}`), memory));
  }
  byId('soak').hidden = !parts.soak;
}

fillHead();
fillTargets();
fillLatency();
fillBaselines();
fillCameras();
fillGpu();
drawGrids();
drawScaling();
drawSoak();
fillProvenance();
