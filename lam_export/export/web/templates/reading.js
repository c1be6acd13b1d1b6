// Files and pasted lines to texts. A text is one line.
const MOST_TEXTS = 10_000;
const LARGEST = 64e6; // bytes of a file

const line = (cell) => cell.replace(/[\r\n]+/g, " ").trim();

// The texts of the field, and a remark if some were left out.
export function textsOf(value) {
  const texts = value.split(/[\r\n]+/).map(line).filter(Boolean);
  const left = texts.length > MOST_TEXTS ? `, the first of ${texts.length.toLocaleString()}` : "";
  return { texts: texts.slice(0, MOST_TEXTS), left };
}

// A file as a table: its columns' names, the texts of each, and the column that most likely holds the texts.
export async function tableOf(file) {
  if (file.size > LARGEST) {
    throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB. Open a file of at most ${LARGEST / 1e6} MB.`);
  }
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is not text in UTF-8. Save it as UTF-8 and open it again.`);
  }
  if (!/\.[ct]sv$/i.test(file.name)) return { names: ["text"], columns: [content.split(/[\r\n]+/)], chosen: 0 };
  const [names = [], ...rows] = Papa.parse(content, { skipEmptyLines: "greedy" }).data;
  if (!rows.length) {
    throw new Error(`${file.name} has no row of texts. Its first row must name the columns; texts alone belong into a .txt file.`);
  }
  const columns = names.map((_, i) => rows.map((row) => line(row[i] ?? "")));
  const named = names.findIndex((name) => name.trim().toLowerCase() === "text");
  const lengths = columns.map((cells) => cells.reduce((sum, cell) => sum + cell.length, 0));
  return { names, columns, chosen: named >= 0 ? named : lengths.indexOf(Math.max(...lengths)) };
}
