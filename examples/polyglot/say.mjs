// Says in a language which words were counted: Node knows how each of them makes a list.

import { Worker } from "katamari";

const worker = new Worker("say", { slots: 50 });

worker.function("words", {
  doc: "A list of words, each with how often it came.",
  idempotent: true,
  parameters: { words: "[object]", language: "string" },
  result: "string",
}, ({ words, language }) => {
  const number = new Intl.NumberFormat(language);
  const counted = words.map(({ word, times }) => `${word} (${number.format(times)})`);
  return new Intl.ListFormat(language).format(counted);
});

await worker.run();
