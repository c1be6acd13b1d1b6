// Run by tests: node in_node.mjs MODULES HOW FOLDER TEXTS.json OUTPUT.json
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, how, folder, textsFile, output] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(createRequire(path.join(modules, "here.js")).resolve(name)));
const texts = JSON.parse(fs.readFileSync(textsFile));
const { pipeline, env, AutoTokenizer } = await load("@huggingface/transformers");
env.allowRemoteModels = false;
env.localModelPath = path.dirname(folder);
const name = path.basename(folder);

async function transformersJs(dtype) {
  const embed = await pipeline("feature-extraction", name, { dtype });
  const vectors = [];
  for (const text of texts) vectors.push(Array.from((await embed(text, { pooling: "mean", normalize: true })).data));
  const batch = (await embed(texts.slice(0, 20), { pooling: "mean", normalize: true })).tolist();
  return [...batch, ...vectors.slice(20)];
}

async function onnxruntimeNode(graph) {
  const { default: ort } = await load("onnxruntime-node");
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const session = await ort.InferenceSession.create(path.join(folder, graph));
  const vectors = [];
  for (const text of texts) {
    const { input_ids, attention_mask } = tokenizer(text);
    const tensor = (of) => new ort.Tensor("int64", of.data, of.dims);
    const found = await session.run({ input_ids: tensor(input_ids), attention_mask: tensor(attention_mask) });
    vectors.push(Array.from(found.sentence_embedding.data));
  }
  return vectors;
}

const runs = {
  "transformers.js": () => transformersJs("fp32"),
  "transformers.js int8": () => transformersJs("q8"),
  "onnxruntime-node": () => onnxruntimeNode("onnx/model.onnx"),
  "onnxruntime-node bundle": () => onnxruntimeNode("model.onnx"),
};
fs.writeFileSync(output, JSON.stringify(await runs[how]()));
