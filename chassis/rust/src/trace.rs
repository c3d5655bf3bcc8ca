//! The parameters of a function, learnt from the struct that its arguments become.
//!
//! serde tells a deserializer what a type asks for: a struct its fields, a field its type. So a
//! deserializer that notes the questions and answers each with something learns all of it. What
//! refuses the something (an address made of a string) is still noted, but hides which of the
//! fields can be left out: then those are that are an `Option`.

use serde::de::value::MapDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess,
    VariantAccess, Visitor,
};
use std::cell::RefCell;
use std::fmt;

/// How deep values are made up. A type that holds its own kind would never end.
const DEPTH_MAX: usize = 8;

const ANY: &str = "any";

/// What is known of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    pub name: &'static str,
    pub type_name: String,
    pub required: bool,
}

/// What the arguments become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Unit,
    /// A struct with these fields.
    Struct(Vec<Traced>),
    /// Something that does not know its names, such as a map.
    Other,
}

/// The shape of a type.
pub(crate) fn shape_of<T: DeserializeOwned>() -> Shape {
    let asked = RefCell::new(Asked::Other);
    // It fails, and has asked before.
    let _ = T::deserialize(Question { asked: &asked });
    let fields = match asked.into_inner() {
        Asked::Unit => return Shape::Unit,
        Asked::Other => return Shape::Other,
        Asked::Struct(fields) => fields,
    };
    let mut types: Vec<_> = fields.iter().map(|name| type_of::<T>(name)).collect();
    let required = required_of::<T>(fields);
    let traced = fields.iter().zip(&mut types).map(|(name, type_name)| {
        let optional = type_name.ends_with('?');
        if optional {
            // That it may be left out says it already.
            type_name.pop();
        }
        let (known, complete) = &required;
        let is_required = known.contains(name) || !(*complete || optional);
        Traced {
            name,
            type_name: type_name.clone(),
            required: is_required,
        }
    });
    Shape::Struct(traced.collect())
}

/// The type of a field.
fn type_of<T: DeserializeOwned>(field: &'static str) -> String {
    let noted = RefCell::new(String::new());
    let probe = Probe {
        noted: Some(&noted),
        depth: 0,
    };
    // It fails for want of the other fields, which does not matter.
    let _ = T::deserialize(MapDeserializer::new(std::iter::once((field, probe))));
    let noted = noted.into_inner();
    if noted.is_empty() {
        ANY.to_owned()
    } else {
        noted
    }
}

/// The fields that must be there, and whether these are all of them.
fn required_of<T: DeserializeOwned>(fields: &[&'static str]) -> (Vec<&'static str>, bool) {
    let mut required = Vec::new();
    for _ in 0..=fields.len() {
        let probe = Probe {
            noted: None,
            depth: 0,
        };
        let given = required.iter().map(|name: &&'static str| (*name, probe));
        match T::deserialize(MapDeserializer::<_, Trouble>::new(given)) {
            Ok(_) => return (required, true),
            Err(Trouble::Missing(name)) if !required.contains(&name) => required.push(name),
            Err(_) => break,
        }
    }
    (required, false)
}

/// Why a value was not made.
#[derive(Debug)]
enum Trouble {
    Missing(&'static str),
    Other,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only traced")
    }
}

impl std::error::Error for Trouble {}

impl de::Error for Trouble {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Unit,
    Struct(&'static [&'static str]),
    Other,
}

/// Notes what the whole of the arguments is.
struct Question<'a> {
    asked: &'a RefCell<Asked>,
}

impl<'de> Deserializer<'de> for Question<'_> {
    type Error = Trouble;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Trouble> {
        Err(Trouble::Other)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Trouble> {
        *self.asked.borrow_mut() = Asked::Unit;
        Err(Trouble::Other)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Trouble> {
        *self.asked.borrow_mut() = Asked::Struct(fields);
        Err(Trouble::Other)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Makes up a value, and notes its type where that is wanted.
#[derive(Clone, Copy)]
struct Probe<'a> {
    noted: Option<&'a RefCell<String>>,
    depth: usize,
}

impl<'a> Probe<'a> {
    fn note(&self, type_name: &str) {
        if let Some(noted) = self.noted {
            type_name.clone_into(&mut noted.borrow_mut());
        }
    }

    /// Makes a new type of the one that was noted.
    fn wrap(&self, wrap: impl FnOnce(&str) -> String) {
        if let Some(noted) = self.noted {
            let inner = noted.take();
            noted.replace(wrap(if inner.is_empty() { ANY } else { &inner }));
        }
    }

    fn inner(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    /// A value whose type is not of interest.
    fn silent(self) -> Self {
        Self {
            noted: None,
            ..self.inner()
        }
    }

    fn is_deep(&self) -> bool {
        self.depth >= DEPTH_MAX
    }
}

impl<'de> IntoDeserializer<'de, Trouble> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The methods that note a word and give a value.
macro_rules! words {
    ($($method:ident => $word:literal, $visit:ident($($value:expr)?);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            self.note($word);
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Trouble;

    words! {
        deserialize_any => "any", visit_unit();
        deserialize_ignored_any => "any", visit_unit();
        deserialize_unit => "any", visit_unit();
        deserialize_bool => "boolean", visit_bool(false);
        deserialize_i8 => "integer", visit_u64(1);
        deserialize_i16 => "integer", visit_u64(1);
        deserialize_i32 => "integer", visit_u64(1);
        deserialize_i64 => "integer", visit_u64(1);
        deserialize_i128 => "integer", visit_u64(1);
        deserialize_u8 => "integer", visit_u64(1);
        deserialize_u16 => "integer", visit_u64(1);
        deserialize_u32 => "integer", visit_u64(1);
        deserialize_u64 => "integer", visit_u64(1);
        deserialize_u128 => "integer", visit_u64(1);
        deserialize_f32 => "number", visit_f64(1.0);
        deserialize_f64 => "number", visit_f64(1.0);
        deserialize_char => "string", visit_char('x');
        deserialize_str => "string", visit_str("x");
        deserialize_string => "string", visit_str("x");
        deserialize_identifier => "string", visit_str("x");
        deserialize_bytes => "any", visit_bytes(b"x");
        deserialize_byte_buf => "any", visit_bytes(b"x");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        if self.is_deep() {
            return visitor.visit_none();
        }
        let result = visitor.visit_some(self.inner());
        self.wrap(|inner| {
            let mark = if inner.ends_with('?') { "" } else { "?" };
            format!("{inner}{mark}")
        });
        result
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        if name.starts_with('$') {
            // A raw value: serde_json hands its text over under this name.
            self.note(ANY);
            let text = MapDeserializer::new(std::iter::once((name, "null")));
            return visitor.visit_map(text);
        }
        visitor.visit_newtype_struct(self.inner())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let count = usize::from(!self.is_deep());
        let result = visitor.visit_seq(Items {
            probe: self.inner(),
            left: count,
        });
        self.wrap(|inner| format!("[{inner}]"));
        result
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.note("[any]");
        visitor.visit_seq(Items {
            probe: self.silent(),
            left,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_tuple(left, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let entries = (!self.is_deep()).then(|| ("x", self.inner()));
        let result = visitor.visit_map(MapDeserializer::new(entries.into_iter()));
        self.wrap(|inner| match inner {
            ANY => "object".to_owned(),
            inner => format!("{{{inner}}}"),
        });
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        if name.starts_with('$') {
            return self.deserialize_newtype_struct(name, visitor);
        }
        self.note("object");
        if self.is_deep() {
            return Err(Trouble::Other);
        }
        let entries = fields.iter().map(|field| (*field, self.silent()));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.note(ANY);
        match variants.first() {
            Some(name) if !self.is_deep() => visitor.visit_enum(Variant {
                name,
                probe: self.silent(),
            }),
            _ => Err(Trouble::Other),
        }
    }
}

/// So many made-up values.
struct Items<'a> {
    probe: Probe<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Trouble> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.probe).map(Some)
    }
}

/// One variant of an enum.
struct Variant<'a> {
    name: &'static str,
    probe: Probe<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Trouble;
    type Variant = Probe<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Probe<'a>), Trouble> {
        let name: de::value::StrDeserializer<'_, Trouble> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.probe))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Trouble> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, v: V) -> Result<V::Value, Trouble> {
        self.deserialize_tuple(left, v)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::num::NonZero;

    /// `name: type` of a struct's fields; `name?: type` of those that may be left out.
    fn parameters<T: DeserializeOwned>() -> Vec<String> {
        let Shape::Struct(traced) = shape_of::<T>() else {
            panic!("expected a struct, got {:?}", shape_of::<T>())
        };
        let shown = traced.into_iter().map(|it| {
            let mark = if it.required { "" } else { "?" };
            format!("{}{mark}: {}", it.name, it.type_name)
        });
        shown.collect()
    }

    fn seven() -> u32 {
        7
    }

    #[test]
    fn a_struct_tells_names_types_and_what_may_be_left_out() {
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct Point {
            x: f64,
        }
        #[derive(Deserialize)]
        #[allow(dead_code)]
        enum Unit {
            Metre,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[allow(dead_code)]
        struct Everything {
            some_text: String,
            letter: char,
            count: u8,
            at_least_one: NonZero<u32>,
            ratio: f32,
            flag: bool,
            list: Vec<Vec<i64>>,
            table: BTreeMap<String, Option<u32>>,
            object: BTreeMap<String, serde_json::Value>,
            point: Point,
            points: Vec<Point>,
            pair: (u8, String),
            unit: Unit,
            raw: Box<RawValue>,
            value: serde_json::Value,
            #[serde(default = "seven")]
            limit: u32,
            maybe: Option<String>,
        }
        assert_eq!(
            parameters::<Everything>(),
            [
                "someText: string",
                "letter: string",
                "count: integer",
                "atLeastOne: integer",
                "ratio: number",
                "flag: boolean",
                "list: [[integer]]",
                "table: {integer?}",
                "object: object",
                "point: object",
                "points: [object]",
                "pair: [any]",
                "unit: any",
                "raw: any",
                "value: any",
                "limit?: integer",
                "maybe?: string",
            ]
        );
    }

    #[test]
    fn a_type_that_refuses_made_up_values_hides_only_defaults() {
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct Address {
            address: IpAddr,
            port: u16,
            name: Option<String>,
        }
        let expected = ["address: string", "port: integer", "name?: string"];
        assert_eq!(parameters::<Address>(), expected);
    }

    #[test]
    fn a_type_that_holds_its_own_kind_ends() {
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct Tree {
            left: Option<Box<Tree>>,
            children: Vec<Tree>,
        }
        assert_eq!(
            parameters::<Tree>(),
            ["left?: object", "children: [object]"]
        );
    }

    #[test]
    fn what_is_no_struct_says_so() {
        #[derive(Deserialize)]
        struct Nothing {}
        assert_eq!(shape_of::<()>(), Shape::Unit);
        assert_eq!(shape_of::<Nothing>(), Shape::Struct(Vec::new()));
        assert_eq!(shape_of::<BTreeMap<String, u8>>(), Shape::Other);
        assert_eq!(shape_of::<serde_json::Value>(), Shape::Other);
    }
}
