// The costmap from above, robot forward is up, with the trail of the robot.

const mapCanvas = byId('costmap');
const UNKNOWN_BYTE = 255;

/** nav2's cost of an OccupancyGrid byte, with trinary_costmap false: below 100 graded, 255 (-1) unknown, else lethal. */
function costOfByte(byte) {
  if (byte === UNKNOWN_BYTE) return 255;
  return byte >= 100 ? 254 : Math.trunc((byte / 100) * 254);
}
const mapPalette = palette(Array.from({ length: 256 }, (_, byte) => content.costColours[costOfByte(byte)]));
mapPalette[UNKNOWN_BYTE] = 0;

/** Canvas pixels per CSS pixel, for dense screens. */
const MAP_DENSITY = 2;

function sizeCostmap() {
  mapCanvas.width = MAP_DENSITY * mapCanvas.clientWidth;
  mapCanvas.height = MAP_DENSITY * mapCanvas.clientHeight;
}

/** Pixels per metre, and position of the robot on the canvas. */
function mapScale() {
  const { forward, left } = content.view;
  const scale = Math.min(mapCanvas.width / (left[1] - left[0]), mapCanvas.height / (forward[1] - forward[0]));
  return {
    scale,
    robotX: mapCanvas.width / 2 + (scale * (left[0] + left[1])) / 2,
    robotY: mapCanvas.height / 2 + (scale * (forward[0] + forward[1])) / 2,
  };
}

/** The affine map from odom (m) to canvas pixels for a frame: DOMMatrix. */
function odomToCanvas(frame) {
  const [x, y, yaw] = frame.pose;
  const { scale, robotX, robotY } = mapScale();
  const sin = scale * Math.sin(yaw);
  const cos = scale * Math.cos(yaw);
  // canvas x = robotX - scale * left, canvas y = robotY - scale * forward
  return new DOMMatrix([sin, -cos, -cos, -sin, robotX - sin * x + cos * y, robotY + cos * x + sin * y]);
}

function gridToCanvas(frame) {
  return odomToCanvas(frame).translate(frame.origin[0], frame.origin[1]).scale(frame.resolution);
}

function drawCostmap(index, planes) {
  const frame = frames[index];
  const context = mapCanvas.getContext('2d');
  context.resetTransform();
  drawUnknown(context);
  context.setTransform(gridToCanvas(frame));
  context.imageSmoothingEnabled = false;
  context.drawImage(renderWith(planes.costmap, mapPalette), 0, 0);
  context.resetTransform();
  drawRings(context);
  drawTrail(context, frame);
  drawRobot(context);
}

function drawUnknown(context) {
  const { width, height } = mapCanvas;
  context.fillStyle = css(content.costColours[255]);
  context.fillRect(0, 0, width, height);
  context.strokeStyle = 'rgb(255 255 255 / 6%)';
  context.lineWidth = 3;
  context.beginPath();
  for (let start = -height; start < width; start += 16) {
    context.moveTo(start, height);
    context.lineTo(start + height, 0);
  }
  context.stroke();
}

function drawRings(context) {
  const { scale, robotX, robotY } = mapScale();
  const spacing = [1, 2, 5, 10, 20, 50, 100].find((metres) => metres * scale >= 130) ?? 200;
  context.font = '24px system-ui, sans-serif';
  context.textAlign = 'center';
  context.lineWidth = 1.5;
  for (let radius = spacing; radius * scale < robotY + 40; radius += spacing) {
    context.strokeStyle = 'rgb(255 255 255 / 30%)';
    context.beginPath();
    context.arc(robotX, robotY, radius * scale, 0, 2 * Math.PI);
    context.stroke();
    outlinedText(context, `${radius} m`, robotX, robotY - radius * scale + 8);
  }
}

function outlinedText(context, text, x, y) {
  context.lineJoin = 'round';
  context.lineWidth = 5;
  context.strokeStyle = 'rgb(20 24 30 / 75%)';
  context.strokeText(text, x, y);
  context.fillStyle = '#fff';
  context.fillText(text, x, y);
  context.lineWidth = 1.5;
}

function drawTrail(context, frame) {
  const { index, x, y } = content.curves;
  const matrix = odomToCanvas(frame);
  const trace = (from, to) => {
    context.beginPath();
    for (let i = from; i < to; i++) {
      const point = matrix.transformPoint(new DOMPoint(x[i], y[i]));
      context.lineTo(point.x, point.y);
    }
  };
  const now = index.findLastIndex((value) => value <= frame.index);
  context.lineCap = context.lineJoin = 'round';
  context.setLineDash([2, 11]);
  trace(now, index.length);
  stroke(context, 'rgb(255 255 255 / 70%)', 3.5);
  context.setLineDash([]);
  trace(0, now + 1);
  stroke(context, 'rgb(20 24 30 / 70%)', 9);
  stroke(context, '#fff', 4.5);
}

function stroke(context, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function drawRobot(context) {
  const { robotX, robotY } = mapScale();
  context.beginPath();
  for (const [dx, dy] of [[0, -26], [18, 20], [0, 10], [-18, 20]]) context.lineTo(robotX + dx, robotY + dy);
  context.closePath();
  context.fillStyle = '#fff';
  stroke(context, 'rgb(20 24 30)', 6);
  context.fill();
}

/** Lines for the tip: the cell at a position given as fractions of the canvas. */
function describeCell(index, planes, fx, fy) {
  const point = new DOMPoint(fx * mapCanvas.width, fy * mapCanvas.height);
  const { scale, robotX, robotY } = mapScale();
  const forward = (robotY - point.y) / scale;
  const left = (robotX - point.x) / scale;
  const cell = gridToCanvas(frames[index]).inverse().transformPoint(point);
  const { width, height, values } = planes.costmap;
  const inside = cell.x >= 0 && cell.y >= 0 && cell.x < width && cell.y < height;
  const byte = inside ? values[Math.floor(cell.y) * width + Math.floor(cell.x)] : UNKNOWN_BYTE;
  const cost = costOfByte(byte);
  return [
    [forward < 0 ? 'behind' : 'ahead', `${Math.abs(forward).toFixed(1)} m`],
    [left < 0 ? 'right' : 'left', `${Math.abs(left).toFixed(1)} m`],
    ['cost', inside ? costText(cost) : 'outside the grid', css(content.costColours[cost])],
  ];
}
