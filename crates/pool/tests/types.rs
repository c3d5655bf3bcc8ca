//! Types and values at random: the check of bytes agrees with one that builds the value.
#![allow(missing_docs, reason = "a test binary has no API")]

use pool::Type;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

fn types() -> impl Strategy<Value = Type> {
    let words = prop::sample::select(vec![
        Type::String,
        Type::Integer,
        Type::Number,
        Type::Boolean,
        Type::Bytes,
        Type::Object,
        Type::Any,
    ]);
    words.prop_recursive(4, 8, 1, |inner| {
        let optional = |inner: Type| match inner {
            Type::Optional(_) => inner,
            other => Type::Optional(Arc::new(other)),
        };
        prop_oneof![
            inner.clone().prop_map(|inner| Type::Array(Arc::new(inner))),
            inner.clone().prop_map(|inner| Type::Map(Arc::new(inner))),
            inner.prop_map(optional),
        ]
    })
}

/// Values of that type, and now and then another one in it.
fn values(of: &Type) -> BoxedStrategy<Value> {
    let fitting = match of {
        Type::String => "[a\\\\\"é]{0,3}".prop_map(Value::from).boxed(),
        Type::Integer => any::<i64>().prop_map(Value::from).boxed(),
        Type::Number => (-1e6..1e6).prop_map(Value::from).boxed(),
        Type::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Type::Object => Just(serde_json::json!({"a": [1, null]})).boxed(),
        Type::Any | Type::Bytes => Just(serde_json::json!([{"b": "c"}, 1.5])).boxed(),
        Type::Array(inner) => {
            let items = prop::collection::vec(values(inner), 0..3);
            items.prop_map(Value::from).boxed()
        }
        Type::Map(inner) => {
            let members = prop::collection::hash_map("[a-z]{1,2}", values(inner), 0..3);
            let object = |members: std::collections::HashMap<_, _>| {
                Value::Object(members.into_iter().collect())
            };
            members.prop_map(object).boxed()
        }
        Type::Optional(inner) => prop_oneof![Just(Value::Null), values(inner)].boxed(),
    };
    let any = prop::sample::select(vec![
        Value::Null,
        true.into(),
        5.into(),
        1.5.into(),
        "a".into(),
        Value::Array(Vec::new()),
        serde_json::json!({}),
    ]);
    prop_oneof![9 => fitting, 1 => any].boxed()
}

fn is_of(value: &Value, of: &Type) -> bool {
    match of {
        Type::String => value.is_string(),
        Type::Integer => value.is_i64() || value.is_u64(),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::Object => value.is_object(),
        Type::Any | Type::Bytes => true,
        Type::Array(inner) => value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| is_of(item, inner))),
        Type::Map(inner) => value
            .as_object()
            .is_some_and(|members| members.values().all(|member| is_of(member, inner))),
        Type::Optional(inner) => value.is_null() || is_of(value, inner),
    }
}

proptest! {
    #[test]
    fn bytes_fit_a_type_as_their_value_does(
        (of, value) in types().prop_flat_map(|of| (Just(of.clone()), values(&of)))
    ) {
        for json in [value.to_string(), format!(" {value:#} ")] {
            let problem = of.check(&json, "it");
            prop_assert_eq!(problem.is_ok(), is_of(&value, &of), "{} {} {:?}", of, json, problem);
        }
        prop_assert_eq!(of.to_string().parse::<Type>(), Ok(of));
    }
}
