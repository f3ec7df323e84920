// How results look: the table that front.png is drawn from too. Its colours are variables of the style sheet.

const look = JSON.parse(document.getElementById("look").textContent);

/** What stands in a front's figure: name → {label, symbol, size, colour, fade}. */
export const MARKS = look.marks;

/** What the axes are called, by column. */
export const LABELS = look.labels;

/** Units of `size` and `count`: [name, worth, the largest value from which it is shown], largest first. */
export const UNITS = look.units;
