//! What it costs to look at arguments: their names alone, and their types as well.
//!
//! `cargo bench -p katamari-pool --bench types`
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use criterion::{Criterion, criterion_group, criterion_main};
use pool::Function;
use std::hint::black_box;
use term::Shape;

fn function(of: &str) -> Function {
    let json = format!(r#"{{"name": "f", "parameters": [{{"name": "value", "type": "{of}"}}]}}"#);
    serde_json::from_str(&json).expect("a function")
}

fn arguments(criterion: &mut Criterion) {
    let text = format!(r#"{{"value": "{}"}}"#, "a".repeat(1_000));
    let numbers = format!(r#"{{"value": [{}1234567]}}"#, "1234567,".repeat(124));
    for (name, of, json) in [
        ("any, 1 kB", "any", &text),
        ("string, 1 kB", "string", &text),
        ("[integer], 1 kB", "[integer]", &numbers),
    ] {
        let function = function(of);
        let shape = Shape::of_json(json.as_bytes()).expect("arguments");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| function.accepts(black_box(&shape), Some(black_box(json.as_bytes()))));
        });
    }
    criterion.bench_function("names, 1 kB", |bencher| {
        bencher.iter(|| Shape::of_json(black_box(text.as_bytes())));
    });
}

criterion_group!(benches, arguments);
criterion_main!(benches);
