// Numbers in words.

/** Return "1 object", "2 objects". */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
