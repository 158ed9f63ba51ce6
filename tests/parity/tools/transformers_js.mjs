// Answers of transformers.js in node.
import { AutoModelForSequenceClassification, AutoTokenizer, env, pipeline } from '@huggingface/transformers';
import { readFileSync } from 'node:fs';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '';
const job = JSON.parse(readFileSync(0, 'utf8'));
const settings = { dtype: job.variant, device: 'cpu' };
let ask;
if (job.task === 'text-ranking') {
  const tokenizer = await AutoTokenizer.from_pretrained(job.folder);
  const model = await AutoModelForSequenceClassification.from_pretrained(job.folder, settings);
  ask = async (items) => {
    const inputs = tokenizer(items.map((item) => item[0]), { text_pair: items.map((item) => item[1]), padding: true });
    return (await model(inputs)).logits.tolist().map((row) => row[0]);
  };
} else {
  const pipe = await pipeline(job.task, job.folder, settings);
  ask = async (items) => {
    if (job.task === 'question-answering') return Promise.all(items.map((item) => pipe(item.question, item.context)));
    if (job.task === 'zero-shot-classification') return Promise.all(items.map((item) => pipe(item.text, item.labels)));
    if (job.task === 'feature-extraction') return (await pipe(items, job.options)).tolist();
    return pipe(items, job.options);
  };
}
const alone = [];
for (const item of job.items) alone.push((await ask([item]))[0]);
const together = await ask(job.items);
console.log(JSON.stringify({ alone, together, version: env.version }));
process.exit(0);
