// The page of an evaluation: tables, the reliability diagram and the worst images.

const RIGHT = 'var(--right)';
const VIEWS = [
  'image', 'truth', 'most probable label', 'Bayes decision', 'confidence', 'wrong: the brighter, the surer it was',
];
const colourOf = new Map(content.labels.map(({ name, colour }) => [name, css(colour)]));
const named = (label) => withSwatch(colourOf.get(label), label);
const rounded = (value) => (typeof value === 'number' ? value.toFixed(3) : '–');
const labels = Object.entries(summary.labels);

function fillHead() {
  byId('title').textContent = summary.model;
  document.title = `${summary.model} · evaluation`;
  byId('subtitle').textContent = `judged on ${summary.data}`;
  tile('mean IoU', rounded(summary.mean_iou), `${percent(summary.pixel_accuracy)} of the pixels`);
  tile('boundary F', rounded(summary.boundary_f.mean), `within ${summary.boundary_f.tolerance}`);
  tile('panoptic quality', rounded(summary.panoptic.pq), `SQ ${rounded(summary.panoptic.sq)}, RQ ${rounded(summary.panoptic.rq)}`);
  tile('calibration error', figure(summary.calibration.ece), 'ECE, 15 bins');
  const { bayes, most_probable: most } = summary.risk;
  tile('cost of a pixel', rounded(bayes), `Bayes decision; ${rounded(most)} most probable`);
}

function fillLabels() {
  const { things } = summary.panoptic;
  byId('labels-text').textContent = `things, counted one by one: ${things.join(', ') || 'none'}`;
  const head = ['label', '#of the pixels', 'IoU', '#', '#boundary F', '#PQ', '#SQ', '#RQ', '#found', '#invented', '#missed'];
  const rows = labels.map(([name, of]) => [
    named(name), percent(of.pixels / summary.pixels), meter(of.iou ?? 0, RIGHT), rounded(of.iou), rounded(of.boundary_f),
    rounded(of.pq), rounded(of.sq), rounded(of.rq), figure(of.matched), figure(of.invented), figure(of.missed),
  ]);
  const { pq, sq, rq } = summary.panoptic;
  const means = [summary.mean_iou, summary.boundary_f.mean, pq, sq, rq].map(rounded);
  rows.push(['mean', '', meter(summary.mean_iou ?? 0, RIGHT), ...means, '', '', '']);
  fillTable('labels', head, rows);
  byId('labels').querySelector('tbody tr:last-child').classList.add('means');
}

/** Bars from the bottom of a box whose lower left corner is (0, bottom), as wide as their bins. */
function bar({ from, to }, low, high, bottom, kind, told) {
  const box = { x: 100 * from + 0.4, width: 100 * (to - from) - 0.8, y: bottom - high, height: Math.max(0, high - low), class: kind };
  const element = shape('rect', box);
  element.append(shape('title', {}));
  element.firstChild.textContent = told;
  return element;
}

function drawReliability() {
  const svg = byId('reliability');
  svg.setAttribute('viewBox', '-18 -4 126 144');
  const most = Math.max(...summary.calibration.bins.map(({ pixels }) => pixels));
  for (const bin of summary.calibration.bins.filter(({ pixels }) => pixels)) {
    const { accuracy, confidence, pixels } = bin;
    const told = `confidence ${percent(confidence)}, right ${percent(accuracy)}, ${percent(pixels / summary.pixels)} of the pixels`;
    svg.append(
      bar(bin, 0, 100 * accuracy, 100, 'right', told),
      bar(bin, 100 * Math.min(accuracy, confidence), 100 * Math.max(accuracy, confidence), 100, 'gap', told),
      bar(bin, 0, (18 * pixels) / most, 132, 'pixels', told),
    );
  }
  const words = (x, y, text, rest = {}) => {
    const element = shape('text', { x, y, 'text-anchor': 'middle', ...rest });
    element.textContent = text;
    return element;
  };
  svg.append(
    shape('rect', { class: 'frame', x: 0, y: 0, width: 100, height: 100 }),
    shape('line', { class: 'ideal', x1: 0, y1: 100, x2: 100, y2: 0 }),
    ...[0, 50, 100].flatMap((value) => [
      words(value, 106, `${value} %`), words(-2, 101.5 - value, `${value} %`, { 'text-anchor': 'end' }),
    ]),
    words(50, 112, 'confidence'), words(50, 138, 'pixels per confidence'),
    words(0, 0, 'right answers', { transform: 'translate(-13 50) rotate(-90)' }),
  );
}

function fillRisk() {
  const { most_probable: most, bayes, expected } = summary.risk;
  const top = Math.max(...labels.flatMap(([, of]) => [of.cost_most_probable ?? 0, of.cost_bayes ?? 0]), 1e-9);
  const rows = labels.map(([name, of]) => {
    const bars = meter((of.cost_most_probable ?? 0) / top, 'var(--gap)');
    bars.append(make('i', { style: `width:${(100 * (of.cost_bayes ?? 0)) / top}%;background:${RIGHT}` }));
    return [named(name), bars, rounded(of.cost_most_probable), rounded(of.cost_bayes)];
  });
  fillTable('risk', ['truth', '', '#most probable', '#Bayes decision'], [...rows, ['all pixels', '', rounded(most), rounded(bayes)]]);
  const saved = most > 0 ? `The Bayes decision costs ${percent(1 - bayes / most)} less than the most probable class. ` : '';
  byId('risk-text').textContent = `${saved}The network itself expects ${rounded(expected)}: `
    + 'the nearer that is to what was paid, the better its probabilities are where mistakes are dear.';
}

function fillConfusion() {
  const names = labels.map(([name]) => name);
  const head = make('tr', {}, make('th'), ...names.map((name) => make('th', { scope: 'col' }, name)));
  const body = summary.confusion.map((counts, row) => {
    const all = counts.reduce((total, count) => total + count, 0);
    const cells = counts.map((count, column) => {
      const share = all ? count / all : 0;
      const colour = row === column ? RIGHT : 'var(--accent)';
      // The square root, so that the small confusions show that matter most.
      const style = `background:color-mix(in srgb, ${colour} ${(70 * Math.sqrt(share)).toFixed(1)}%, transparent)`;
      const text = share >= 0.0005 ? (100 * share).toFixed(1) : '';
      return make('td', { style, title: `${names[row]} taken for ${names[column]}: ${figure(count)} pixels` }, text);
    });
    return make('tr', {}, make('th', { scope: 'row' }, named(names[row])), ...cells);
  });
  byId('confusion').append(make('thead', {}, head), make('tbody', {}, ...body));
}

function fillWorst() {
  const stops = content.confidenceColours.filter((_, value) => value % 15 === 0).map(css);
  byId('confidence-scale').append(
    make('div', { class: 'ramp' },
      make('i', { style: `background:linear-gradient(90deg, ${stops.join(',')})` }),
      make('div', { class: 'ends' }, make('span', {}, '0 % confidence'), make('span', {}, '100 %'))),
  );
  content.pictures.forEach(({ name, views }, place) => {
    const { iou, accuracy, boundary_f: boundary } = summary.scores[place];
    const figures = views.map((url, view) => (
      make('figure', {}, make('img', { src: url, alt: `${name}: ${VIEWS[view]}` }), make('figcaption', {}, VIEWS[view]))
    ));
    const words = `${name}: IoU ${rounded(iou)}, ${percent(accuracy)} right, boundary F ${rounded(boundary)}`;
    byId('worst').append(make('article', { class: 'worst' }, make('h3', {}, words), make('div', { class: 'views' }, ...figures)));
  });
  byId('worst').hidden = content.pictures.length === 0;
}

function fillScores() {
  const rows = summary.scores.map(({ name, iou, accuracy, boundary_f: boundary }) => [
    name, meter(iou, RIGHT), rounded(iou), percent(accuracy), rounded(boundary),
  ]);
  fillTable('scores', ['image', 'IoU', '#', '#pixels right', '#boundary F'], rows);
}

fillHead();
fillLabels();
drawReliability();
fillRisk();
fillConfusion();
fillWorst();
fillScores();
fillProvenance();
