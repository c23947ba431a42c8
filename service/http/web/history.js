// Undo as plain data: what was, what is, and what was undone.

const MAX_STEPS = 200;

export const startHistory = (present) => ({ past: [], present, future: [] });

/** Return the history after a step; what was undone before is gone. */
export const record = ({ past, present }, next) => ({
  past: [...past, present].slice(-MAX_STEPS),
  present: next,
  future: [],
});

/** Return the history one step back, or the same if there is none. */
export function undo({ past, present, future }) {
  if (!past.length) return { past, present, future };
  return { past: past.slice(0, -1), present: past.at(-1), future: [present, ...future] };
}

/** Return the history one step on, or the same if nothing was undone. */
export function redo({ past, present, future }) {
  if (!future.length) return { past, present, future };
  return { past: [...past, present], present: future[0], future: future.slice(1) };
}
