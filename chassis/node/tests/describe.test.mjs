// Descriptions: what the protocol does not allow is refused where it is written.

import assert from "node:assert/strict";
import test from "node:test";
import { DescriptionError, Payload, Worker } from "katamari";

const nothing = () => {};

function refused(words, define) {
  assert.throws(define, (error) => {
    assert.ok(error instanceof DescriptionError, error);
    assert.ok(error.message.includes(words), error.message);
    return true;
  });
}

const define = (options, run = nothing) => new Worker("k").function("f", options, run);

test("types", () => {
  const deep = `${"[{".repeat(8)}integer${"}]".repeat(8)}`;
  for (const result of ["string", "any?", "[integer]", "{[number]}?", "[[string?]?]", deep]) {
    define({ result, parameters: { a: result } });
  }
  for (const type of ["", "text", "[string", "string??", "{}", `[${deep}]`, 5]) {
    refused("expected a type", () => define({ result: type }));
    refused("expected a type", () => define({ parameters: { a: { type } } }));
  }
});

test("functions that cannot be", () => {
  refused("expected 1 to 100", () => new Worker("k").function("a b", {}, nothing));
  refused("expected a function last", () => new Worker("k").function("f", nothing));
  refused("expected the keys", () => define({ docs: "" }));
  refused("expected the keys", () => define({ parameters: { a: { typ: "any" } } }));
  refused("expected an object", () => define({ parameters: ["a"] }));
  refused("1 to 100 characters", () => define({ parameters: { ["a".repeat(101)]: "any" } }));
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`p${at}`, "any"]));
  refused("101 parameters", () => define({ parameters: many }));
  refused("expected a doc", () => define({ doc: "x".repeat(16_385) }));
  refused("idempotent", () => define({ idempotent: 1 }));
  const worker = new Worker("k");
  worker.function("f", {}, nothing);
  refused("defined twice", () => worker.function("f", {}, nothing));
  refused("more than 1000", () => {
    for (let at = 0; at < 1000; at += 1) worker.function(`f${at}`, {}, nothing);
  });
});

test("workers that cannot be", async () => {
  refused('kind "a.b"', () => new Worker("a.b"));
  refused("kind undefined", () => new Worker());
  refused("means something else", () => new Worker("k", { versions: { tags: "1" } }));
  refused("expected a string", () => new Worker("k", { versions: { grammar: 5 } }));
  refused("expected a string", () => new Worker("k", { versions: { g: "x".repeat(201) } }));
  refused("33 tags", () => new Worker("k", { tags: Array(33).fill("t") }));
  refused("expected an array", () => new Worker("k", { roles: "r" }));
  for (const slots of [0, 1025, 1.5, "2"]) refused("slots", () => new Worker("k", { slots }));
  await assert.rejects(new Worker("k").run(), DescriptionError);
});

test("a function stays as it is", () => {
  const run = ({ a }) => a;
  assert.equal(define({ parameters: { a: "any" } }, run), run);
});

test("payloads", () => {
  assert.throws(() => new Payload("text", "a/b"), TypeError);
  assert.throws(() => new Payload(new Uint8Array(), ""), TypeError);
});
