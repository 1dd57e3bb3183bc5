// The frames of the drive, and names of classes and costs.

const frames = content.frames;

function className(label) {
  return label < content.classes.length ? content.classes[label].name : 'no label';
}

function costText(cost) {
  if (cost === 255) return 'unknown';
  if (cost >= 254) return 'lethal';
  return cost === 0 ? 'free (0)' : `${cost} of 254`;
}
