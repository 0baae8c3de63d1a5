// The difference of two texts, line by line: Myers' greedy algorithm with a limit, then hunks with some lines around.

const EDITS_MAX = 2000; // more than that is shown as all out, all in
const AROUND = 3;

const linesOf = (text) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

// The trace of the shortest way from a to b, or null: it is longer than EDITS_MAX.
function traceOf(a, b) {
  const trace = [], most = Math.min(EDITS_MAX, a.length + b.length);
  let v = new Map([[1, 0]]);
  for (let d = 0; d <= most; d++) {
    trace.push(v);
    const next = new Map(v);
    for (let k = -d; k <= d; k += 2) {
      const isDown = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
      let x = isDown ? v.get(k + 1) ?? 0 : (v.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return trace;
    }
    v = next;
  }
  return null;
}

function walk(a, b, trace) {
  const edits = [];
  let x = a.length, y = b.length;
  for (let d = trace.length - 1; d >= 0; d--) {
    const v = trace[d], k = x - y;
    const isDown = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
    const fromX = d === 0 ? 0 : isDown ? v.get(k + 1) ?? 0 : v.get(k - 1) ?? 0, fromY = d === 0 ? 0 : fromX - (isDown ? k + 1 : k - 1);
    while (x > fromX && y > fromY && x > 0 && y > 0 && a[x - 1] === b[y - 1]) edits.push({ sign: " ", text: a[--x], before: x + 1, after: y-- });
    if (d === 0) break;
    if (isDown) edits.push({ sign: "+", text: b[--y], after: y + 1 });
    else edits.push({ sign: "-", text: a[--x], before: x + 1 });
  }
  return edits.reverse();
}

function allOf(a, b) {
  return [...a.map((text, i) => ({ sign: "-", text, before: i + 1 })), ...b.map((text, i) => ({ sign: "+", text, after: i + 1 }))];
}

// [{sign: " " | "-" | "+", text, before?, after?}] with {sign: "…"} where equal lines are left out.
export function difference(before, after) {
  const a = linesOf(before), b = linesOf(after);
  const trace = traceOf(a, b);
  const edits = trace ? walk(a, b, trace) : allOf(a, b);
  const isNear = new Array(edits.length).fill(false);
  edits.forEach((edit, i) => {
    if (edit.sign !== " ") for (let k = Math.max(0, i - AROUND); k <= Math.min(edits.length - 1, i + AROUND); k++) isNear[k] = true;
  });
  const shown = [];
  edits.forEach((edit, i) => {
    if (isNear[i]) shown.push(edit);
    else if (shown[shown.length - 1]?.sign !== "…") shown.push({ sign: "…", text: "" });
  });
  return shown;
}
