// Decode the images of a frame, and render their values as visualization maps.

const DECODED_FRAMES_KEPT = 40;
const decoded = new Map();

/** 256 colours as the 32-bit words of ImageData (little-endian RGBA), opaque. */
function palette(colours) {
  const words = new Uint32Array(256).fill(0xff000000);
  colours.forEach(([r, g, b], value) => { words[value] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0; });
  return words;
}
const costPalette = palette(content.costColours);
const confidencePalette = palette(content.confidenceColours);
const classPalette = palette(content.classes.map((entry) => entry.colour));
const DIFFERS = 0xff00e0ff;
const AGREES = 0xcc14100c;

async function decodeImage(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** The values of a greyscale image: {width, height, values: Uint8Array}. */
async function decodeValues(url) {
  const image = await decodeImage(url);
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d', { willReadFrequently: true, colorSpace: 'srgb' });
  context.drawImage(image, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i];
  return { width, height, values };
}

/** All images of a frame, decoded; the most recently used frames are cached. */
function loadFrame(index) {
  const known = decoded.get(index);
  decoded.delete(index);
  const frame = frames[index];
  const loading = known || Promise.all([
    decodeImage(frame.camera),
    ...[frame.labels, frame.mostProbable, frame.confidence, frame.cost, frame.costmap].map(decodeValues),
  ]).then(([camera, labels, mostProbable, confidence, cost, costmap]) => (
    { camera, labels, mostProbable, confidence, cost, costmap }
  ));
  decoded.set(index, loading);
  if (decoded.size > DECODED_FRAMES_KEPT) decoded.delete(decoded.keys().next().value);
  return loading;
}

/** A canvas with one pixel per value; colourOf(i) gives the 32-bit word of value i. */
function renderPlane(plane, colourOf) {
  const canvas = new OffscreenCanvas(plane.width, plane.height);
  const context = canvas.getContext('2d');
  const image = context.createImageData(plane.width, plane.height);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = colourOf(i);
  context.putImageData(image, 0, 0);
  return canvas;
}

const renderWith = (plane, colours) => renderPlane(plane, (i) => colours[plane.values[i]]);

// The layers of the large image; `render` gives the map over the camera image.
const layers = [
  { name: 'Camera', text: 'the input image of the network', render: () => null },
  {
    name: 'Bayes decision',
    text: 'least expected cost of misclassification',
    render: (frame) => renderWith(frame.labels, classPalette),
  },
  {
    name: 'Most probable',
    text: 'highest probability, costs ignored',
    render: (frame) => renderWith(frame.mostProbable, classPalette),
  },
  {
    name: 'Where they differ',
    text: 'bright where the costs changed the decision',
    render: ({ labels, mostProbable }) => (
      renderPlane(labels, (i) => (labels.values[i] === mostProbable.values[i] ? AGREES : DIFFERS))
    ),
  },
  {
    name: 'Confidence',
    text: 'dark is certain, bright is uncertain',
    render: (frame) => renderWith(frame.confidence, confidencePalette),
  },
  {
    name: 'Cost of driving',
    text: 'expected over the classes, on the costmap’s scale',
    render: (frame) => renderWith(frame.cost, costPalette),
  },
];

/** The value of a plane at a position given as fractions of width and height. */
function valueAt(plane, fx, fy) {
  const column = Math.min(plane.width - 1, Math.floor(fx * plane.width));
  const row = Math.min(plane.height - 1, Math.floor(fy * plane.height));
  return plane.values[row * plane.width + column];
}

/** Lines for the tip: the decision at a position in the image. */
function describePixel(frame, fx, fy) {
  const decision = valueAt(frame.labels, fx, fy);
  const probable = valueAt(frame.mostProbable, fx, fy);
  const cost = valueAt(frame.cost, fx, fy);
  const colourOf = (label) => css(content.classes[label]?.colour ?? [0, 0, 0]);
  return [
    ['Bayes', className(decision), colourOf(decision)],
    ['most probable', className(probable), colourOf(probable)],
    ['confidence', percent(valueAt(frame.confidence, fx, fy) / 255)],
    ['cost', costText(cost), css(content.costColours[cost])],
  ];
}
