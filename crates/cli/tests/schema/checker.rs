//! The part of JSON Schema that `docs/schema` uses, and strict: a field that no schema names is an error, and so is a keyword
//! that this checker does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

/// Keywords that say nothing about a value.
const WORDS: [&str; 5] = ["$schema", "$defs", "title", "description", "$comment"];
/// Keywords that are checked.
const KNOWN: [&str; 13] = [
    "$ref",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "allOf",
    "minimum",
    "pattern",
];

/// All schemas, by file name.
pub(crate) struct Schemas(BTreeMap<String, Value>);

/// A schema, and the file that its references are relative to.
#[derive(Clone, Copy)]
struct At<'a> {
    file: &'a str,
    schema: &'a Value,
}

impl Schemas {
    /// Those of the tree.
    pub(crate) fn load() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        Self(
            files
                .map(|path| {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let schema =
                        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    (path.file_name().unwrap().to_str().unwrap().to_owned(), schema)
                })
                .collect(),
        )
    }

    pub(crate) fn of(schemas: &[(&str, Value)]) -> Self {
        Self(schemas.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| name.trim_end_matches(".json"))
    }

    /// The words of an enumeration, by the way to it, as in `common/$defs/state`.
    pub(crate) fn words(&self, way: &str) -> Vec<&str> {
        let (file, way) = way.split_once('/').unwrap();
        let schema = self.0[&format!("{file}.json")].pointer(&format!("/{way}/enum"));
        schema.and_then(Value::as_array).unwrap_or_else(|| panic!("{way}")).iter().filter_map(Value::as_str).collect()
    }

    /// What is wrong with a value.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let file = format!("{name}.json");
        let (file, schema) = self.0.get_key_value(&file).ok_or_else(|| format!("there is no docs/schema/{file}"))?;
        self.judge(At { file, schema }, value, "")
    }

    fn resolve<'a>(&'a self, at: At<'a>, reference: &str) -> At<'a> {
        let (file, way) = reference.split_once('#').unwrap_or((reference, ""));
        let (file, schema) = match file {
            "" => (at.file, &self.0[at.file]),
            file => {
                let (name, schema) = self.0.get_key_value(file).unwrap_or_else(|| panic!("{reference} leads nowhere"));
                (name.as_str(), schema)
            }
        };
        At { file, schema: schema.pointer(way).unwrap_or_else(|| panic!("{reference} leads nowhere")) }
    }

    fn judge(&self, at: At<'_>, value: &Value, place: &str) -> Result<(), String> {
        self.judge_but_for(at, value, place)?;
        let Value::Object(fields) = value else { return Ok(()) };
        // Where another way to say it is chosen by oneOf or anyOf, that one has named the fields.
        let (mut named, mut open) = (BTreeSet::new(), false);
        if !self.named(at, &mut named, &mut open) || open {
            return Ok(());
        }
        match fields.keys().find(|field| !named.contains(field.as_str())) {
            Some(field) => Err(format!("{place}/{field} is not in the schema")),
            None => Ok(()),
        }
    }

    /// The fields that a schema names, with those of what it refers to. `false`: there are several ways.
    fn named<'a>(&'a self, at: At<'a>, names: &mut BTreeSet<&'a str>, open: &mut bool) -> bool {
        let Some(schema) = at.schema.as_object() else { return true };
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            return false;
        }
        *open |= schema.contains_key("additionalProperties");
        names.extend(
            schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()),
        );
        let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        let inner: Vec<At<'a>> = all
            .map(|schema| At { schema, ..at })
            .chain(schema.get("$ref").and_then(Value::as_str).map(|reference| self.resolve(at, reference)))
            .collect();
        inner.into_iter().all(|inner| self.named(inner, names, open))
    }

    /// Everything but fields that are not named, which only the whole can tell.
    fn judge_but_for(&self, at: At<'_>, value: &Value, place: &str) -> Result<(), String> {
        let schema = at.schema.as_object().unwrap_or_else(|| panic!("{}: a schema is an object", at.file));
        if let Some(word) =
            schema.keys().find(|word| !WORDS.contains(&word.as_str()) && !KNOWN.contains(&word.as_str()))
        {
            panic!("{}: the checker does not know `{word}`", at.file);
        }
        let wrong = |what: String| Err(format!("{place}: {what}, not {value}"));
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            self.judge_but_for(self.resolve(at, reference), value, place)?;
        }
        for inner in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.judge_but_for(At { schema: inner, ..at }, value, place)?;
        }
        for (word, most) in [("oneOf", 1), ("anyOf", usize::MAX)] {
            let Some(ways) = schema.get(word).and_then(Value::as_array) else { continue };
            let (fit, misfits): (Vec<_>, Vec<_>) =
                ways.iter().map(|inner| self.judge(At { schema: inner, ..at }, value, place)).partition(Result::is_ok);
            if fit.is_empty() || fit.len() > most {
                let why: Vec<String> = misfits.into_iter().filter_map(Result::err).collect();
                return Err(format!("{place}: {} of the ways of {word} fit: {}", fit.len(), why.join(" | ")));
            }
        }
        if let Some(expected) = schema.get("const").filter(|expected| *expected != value) {
            return wrong(format!("must be {expected}"));
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
            return wrong(format!("must be one of {words:?}"));
        }
        if let Some(types) = schema.get("type") {
            let types: Vec<&str> = match types {
                Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                one => one.as_str().into_iter().collect(),
            };
            if !types.iter().any(|name| is_of(name, value)) {
                return wrong(format!("must be of type {types:?}"));
            }
        }
        if let (Some(least), Some(number)) = (schema.get("minimum").and_then(Value::as_f64), value.as_f64())
            && number < least
        {
            return wrong(format!("must be at least {least}"));
        }
        if let (Some(pattern), Some(text)) = (schema.get("pattern").and_then(Value::as_str), value.as_str())
            && !super::pattern::matches(pattern, text)
        {
            return wrong(format!("must match {pattern}"));
        }
        match value {
            Value::Object(fields) => self.fields(at, schema, fields, place),
            Value::Array(items) => match schema.get("items") {
                Some(inner) => items
                    .iter()
                    .enumerate()
                    .try_for_each(|(n, item)| self.judge(At { schema: inner, ..at }, item, &format!("{place}/{n}"))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn fields(
        &self,
        at: At<'_>,
        schema: &Map<String, Value>,
        fields: &Map<String, Value>,
        place: &str,
    ) -> Result<(), String> {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{place}/{name} is missing"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, field) in fields {
            let named = properties.and_then(|properties| properties.get(name));
            if let Some(inner) = named.or_else(|| schema.get("additionalProperties")) {
                self.judge(At { schema: inner, ..at }, field, &format!("{place}/{name}"))?;
            }
        }
        Ok(())
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the checker does not know type `{other}`"),
    }
}
