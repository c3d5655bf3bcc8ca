//! Terms of middling size, next to the crate `eetf`, and from and to JSON.
//!
//! `cargo bench -p katamari-term`. Throughput counts bytes of the encoded term or of the JSON.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use term::etf::{Limits, Tags, decode, encode};
use term::{Shape, Style, from_json, to_json};

/// Records in the term: with them it has some 25 KB.
const RECORDS: usize = 200;

/// What a worker may answer with: objects with names, numbers, flags, text, lists.
fn json() -> Bytes {
    let record = |number: usize| {
        format!(
            r#"{{"id":{number},"name":"record {number}","score":{number}.25,"ok":true,
                "tags":["first","second"],"none":null,"sizes":[{number},70000,5000000000]}}"#
        )
    };
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    format!("{{\"records\":[{}]}}", records.join(",")).into()
}

fn codec(criterion: &mut Criterion) {
    let limits = Limits::default();
    let json = json();
    for (name, style, tags) in [
        ("erlang", Style::Erlang, Tags::Modern),
        ("classic", Style::Classic, Tags::Old),
    ] {
        let term = from_json(&json, style, &limits).expect("the JSON is well-formed");
        let bytes = Bytes::from(encode(&term, tags).expect("JSON has a form in all tags"));
        let theirs = eetf::Term::decode(&bytes[..]).expect("it is a term");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| decode(black_box(&bytes), &limits));
        });
        group.bench_function("decode, eetf", |bencher| {
            bencher.iter(|| eetf::Term::decode(black_box(&bytes[..])));
        });
        group.bench_function("encode", |bencher| {
            bencher.iter(|| encode(black_box(&term), tags));
        });
        group.bench_function("encode, eetf", |bencher| {
            bencher.iter(|| {
                let mut out = Vec::new();
                black_box(&theirs).encode(&mut out).map(|()| out)
            });
        });
        if style == Style::Erlang {
            group.bench_function("shape", |bencher| {
                bencher.iter(|| Shape::of_etf(black_box(&bytes), style, &limits));
            });
        }
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function("from JSON", |bencher| {
            bencher.iter(|| from_json(black_box(&json), style, &limits));
        });
        group.bench_function("to JSON", |bencher| {
            bencher.iter(|| to_json(black_box(&term), style));
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
