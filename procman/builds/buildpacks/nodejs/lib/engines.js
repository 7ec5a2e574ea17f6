// node engines.js package.json: is this host's Node.js what "engines" asks for? Exit status 1 with words if not.
// Ranges as npm writes them: 20.x, >=18, ^20.1, ~20.1.0, 18 || 20, >=18 <21, 18 - 20, *.
const fs = require("fs");
const stop = (...lines) => { for (const line of lines) console.log(" !     " + line); process.exit(1); };
let app;
try {
  app = JSON.parse(fs.readFileSync(process.argv[2], "utf8").replace(/^\uFEFF/, ""));
} catch (error) {
  stop("Error: Unable to parse package.json: " + error.message);
}
const have = process.version.slice(1).split("-")[0].split(".").map(Number);
const compare = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
const parse = (text) => {
  const found = /^[v=\s]*(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[-+].*)?$/.exec(text);
  if (!found) return null;
  const parts = [];
  for (const part of found.slice(1)) { if (part === undefined || /[xX*]/.test(part)) break; parts.push(Number(part)); }
  return parts;
};
const low = (parts) => [parts[0] || 0, parts[1] || 0, parts[2] || 0];
const after = (parts, at) => { const next = low(parts); next[at]++; for (let i = at + 1; i < 3; i++) next[i] = 0; return next; };
const one = (word) => {
  const [, operator, rest] = /^(>=|<=|>|<|\^|~>?|=)?\s*(.*)$/.exec(word);
  const parts = parse(rest);
  if (parts === null) return null;
  if (parts.length === 0) return true;
  const from = low(parts), end = after(parts, parts.length - 1), size = compare(have, from);
  switch (operator) {
    case ">=": return size >= 0;
    case "<": return size < 0;
    case ">": return compare(have, parts.length === 3 ? [from[0], from[1], from[2] + 1] : end) >= 0;
    case "<=": return compare(have, end) < 0;
    case "^": { const at = from.findIndex((part) => part > 0); return size >= 0 && compare(have, after(parts, at < 0 ? parts.length - 1 : at)) < 0; }
    case "~": case "~>": return size >= 0 && compare(have, after(parts, Math.min(parts.length - 1, 1))) < 0;
    default: return size >= 0 && compare(have, end) < 0;
  }
};
const fits = (range) => {
  for (const side of range.split("||")) {
    const hyphen = /^\s*(\S+)\s+-\s+(\S+)\s*$/.exec(side);
    const words = hyphen ? [">=" + hyphen[1], "<=" + hyphen[2]] : side.trim().replace(/(>=|<=|>|<|\^|~>?|=)\s+/g, "$1").split(/\s+/).filter(Boolean);
    const said = words.map(one);
    if (said.includes(null)) return null;
    if (said.every(Boolean)) return true;
  }
  return false;
};
const wanted = app.engines && app.engines.node;
if (typeof wanted !== "string") {
  console.log("       engines.node (package.json): unspecified; this host has " + process.version);
} else {
  console.log("       engines.node (package.json): " + wanted);
  const answer = fits(wanted), first = parse(wanted.replace(/^[\^~=v\s]+/, ""));
  if (answer === null) console.log(" !     '" + wanted + "' is no range of versions that is understood here; going on with " + process.version);
  else if (!answer && first && first.length === 3 && first[0] === have[0]) {
    console.log(" !     package.json asks for Node.js " + wanted + "; this host has " + process.version + ", which is used.");
  } else if (!answer) {
    stop("Error: package.json asks for Node.js " + wanted + " (engines.node); this host has " + process.version + ".",
      "Install that version on this host, for example: npm install -g n && n " + (first && first[0] || "lts"),
      "or change engines.node in package.json.");
  }
}
