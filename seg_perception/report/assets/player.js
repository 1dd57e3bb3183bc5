// The player: the current frame and layer, and the values under the pointer.

const stage = byId('stage');
const slider = byId('slider');
const thumbs = [];
let current = 0;
let shown = null; // on the screen: {index, planes, maps}
let layer = 5;
let playing = null; // an object per run, so that an old run notices its end

/** Show a frame in every panel; the last of several requests wins. */
async function show(index) {
  current = Math.min(frames.length - 1, Math.max(0, index));
  const wanted = current;
  slider.value = wanted;
  const planes = await loadFrame(wanted);
  if (wanted !== current) return;
  shown = { index: wanted, planes, maps: layers.map((each) => each.render(planes)) };
  thumbs.forEach((thumb, i) => drawLayer(thumb, i, 1));
  drawStage();
  drawCostmap(wanted, planes);
  showShares(planes.labels);
  showTime(frames[wanted].index);
  markNow(frames[wanted].index);
  for (let ahead = 1; ahead <= 3 && wanted + ahead < frames.length; ahead++) loadFrame(wanted + ahead);
  document.body.dataset.frame = wanted;
}

function drawLayer(canvas, which, strength) {
  const { planes, maps } = shown;
  const context = canvas.getContext('2d');
  context.drawImage(planes.camera, 0, 0, canvas.width, canvas.height);
  if (!maps[which]) return;
  context.globalAlpha = strength;
  context.imageSmoothingEnabled = false;
  context.drawImage(maps[which], 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
}

function drawStage() {
  if (shown) drawLayer(stage, layer, byId('mix').value / 100);
}

function showTime(index) {
  const { index: indices, seconds, differ } = content.curves;
  const at = indices.findLastIndex((value) => value <= index);
  byId('clock').replaceChildren(
    make('b', {}, `${seconds[at].toFixed(2)} s`), `frame ${index + 1} of ${content.total}`, make('br'),
    make('span', {}, `${percent(differ[at])} differ`),
  );
}

function chooseLayer(which) {
  layer = which;
  byId('stage-title').textContent = layers[which].name;
  byId('stage-text').textContent = layers[which].text;
  document.querySelector('.mix').style.visibility = which ? 'visible' : 'hidden';
  thumbs.forEach((thumb, i) => thumb.closest('button').setAttribute('aria-pressed', i === which));
  drawStage();
}

function buildThumbs(width, height) {
  layers.forEach(({ name }, which) => {
    const canvas = make('canvas', { width, height, 'data-layer': name });
    const button = make('button', { type: 'button', 'aria-pressed': 'false' },
      make('div', { class: 'image' }, canvas, make('i', { class: 'dot' })),
      make('span', {}, name, make('kbd', {}, which + 1)));
    button.addEventListener('click', () => chooseLayer(which));
    byId('thumbs').append(button);
    thumbs.push(canvas);
  });
}

function setPlaying(wanted) {
  playing = wanted ? {} : null;
  byId('play').setAttribute('aria-label', playing ? 'Pause' : 'Play');
  if (playing) play(playing);
}

/** Show frame after frame at the pace of the recording, until another run or a pause ends this one. */
async function play(run) {
  const { index, seconds } = content.curves;
  const secondsOf = (frame) => seconds[index.findLastIndex((value) => value <= frame.index)];
  while (playing === run) {
    const started = performance.now();
    const next = current + 1 < frames.length ? current + 1 : 0;
    const recorded = (1000 * (secondsOf(frames[next]) - secondsOf(frames[current]))) / byId('speed').value;
    await loadFrame(next);
    const pause = Math.min(1000, Math.max(20, recorded)) - (performance.now() - started);
    await new Promise((done) => { setTimeout(done, Math.max(0, pause)); });
    if (playing === run) await show(next);
  }
}

function showTip(event, lines) {
  const tip = byId('tip');
  tip.replaceChildren(...lines.map(([term, text, colour]) => (
    make('div', {}, ...(colour ? [swatch(colour)] : []), make('span', {}, term), text)
  )));
  tip.hidden = false;
  const right = event.clientX + tip.offsetWidth + 30 > innerWidth;
  const below = event.clientY + tip.offsetHeight + 30 > innerHeight;
  const x = event.clientX + (right ? -tip.offsetWidth - 16 : 16);
  const y = event.clientY + (below ? -tip.offsetHeight - 16 : 16);
  tip.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
}

function fractionOf(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const clamp = (value) => Math.min(0.99999, Math.max(0, value));
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function watchPointer() {
  const dots = document.querySelectorAll('.dot');
  const away = () => {
    byId('tip').hidden = true;
    dots.forEach((dot) => { dot.style.display = 'none'; });
  };
  const read = (event) => {
    if (!shown) return;
    const [fx, fy] = fractionOf(event);
    if (event.currentTarget === mapCanvas) {
      showTip(event, describeCell(shown.index, shown.planes, fx, fy));
      return;
    }
    showTip(event, describePixel(shown.planes, fx, fy));
    dots.forEach((dot) => { dot.style.cssText = `display:block;left:${100 * fx}%;top:${100 * fy}%`; });
  };
  for (const canvas of [stage, ...thumbs, mapCanvas]) {
    canvas.addEventListener('pointerleave', away);
    canvas.addEventListener('pointermove', read);
    canvas.addEventListener('pointerdown', read);
  }
}

/** The embedded frame nearest to a position in the drive, 0 to 1. */
function nearest(position) {
  const gap = (i) => Math.abs(along(frames[i].index) - position);
  return frames.reduce((best, _, i) => (gap(i) < gap(best) ? i : best), 0);
}

function watchKeys(event) {
  if (event.target.matches('input, select') || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: frames.length - 1 };
  if (event.key in moves) {
    setPlaying(false);
    show(moves[event.key]);
  } else if (event.key === ' ' && !event.target.matches('button')) {
    setPlaying(!playing);
  } else if (layers[event.key - 1]) {
    chooseLayer(event.key - 1);
  } else {
    return;
  }
  event.preventDefault();
}

function watchControls() {
  slider.max = frames.length - 1;
  slider.addEventListener('input', () => { setPlaying(false); show(Number(slider.value)); });
  byId('play').addEventListener('click', () => setPlaying(!playing));
  byId('mix').addEventListener('input', drawStage);
  document.addEventListener('keydown', watchKeys);
  byId('latency').addEventListener('click', (event) => { setPlaying(false); show(nearest(fractionOf(event)[0])); });
  const { index, differ } = content.curves;
  byId('largest').hidden = content.pairs.length === 0;
  byId('largest').addEventListener('click', () => {
    setPlaying(false);
    chooseLayer(3);
    show(nearest(along(index[differ.indexOf(Math.max(...differ))])));
    byId('viewer').scrollIntoView();
  });
}

async function start() {
  fillTables();
  if (frames.length === 0) {
    byId('empty').hidden = false;
    for (const id of ['viewer', 'player', 'timing', 'keys']) byId(id).hidden = true;
    return;
  }
  drawCharts();
  const { camera } = await loadFrame(0);
  buildThumbs(camera.naturalWidth, camera.naturalHeight);
  stage.width = 2 * camera.naturalWidth;
  stage.height = 2 * camera.naturalHeight;
  chooseLayer(layer);
  watchPointer();
  watchControls();
  new ResizeObserver(() => {
    sizeCostmap();
    if (shown) drawCostmap(shown.index, shown.planes);
  }).observe(mapCanvas);
  sizeCostmap();
  await show(0);
}

start();
