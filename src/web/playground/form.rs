//! A form from a tool's JSON Schema, and the arguments from a form that came back. Schemas come from elsewhere: one that
//! is too large, too deep or says anything a form cannot hold becomes a field for JSON, and nothing in it is trusted to
//! be true. What is typed is checked for its shape only; whether a tool accepts it is for its server to say.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::error::{Error, Result, err};

/// Largest schema that is read, in bytes.
const SCHEMA_BYTES: usize = 64 * 1024;
/// Most arguments that get a field each.
const FIELDS: usize = 48;
/// Most choices of one field.
const CHOICES: usize = 200;
/// Longest name of an argument, and longest text of a choice, in bytes.
const NAME_BYTES: usize = 200;
/// What the names of fields begin with, so that no argument is taken for anything else of the form.
const ARGUMENT: &str = "arg.";
/// The field that holds all arguments as JSON.
const WHOLE: &str = "arguments";
/// Arguments with these names are likely to be long texts.
const LONG: &[&str] = &[
    "body",
    "code",
    "comment",
    "content",
    "description",
    "html",
    "markdown",
    "message",
    "prompt",
    "query",
    "sql",
    "text",
];

/// How an argument is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    Line,
    /// Several lines of text.
    Text,
    /// A number; `true`: a whole one.
    Number(bool),
    /// True or false.
    Flag,
    /// One of these: what is shown, and the JSON that is sent.
    Choice(Vec<(String, String)>),
    /// A list, one entry per line; `true`: of numbers.
    Lines(bool),
    /// Anything else, as JSON.
    Json,
}

/// One argument.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// How it is typed.
    pub kind: Kind,
    /// What it is for.
    pub about: String,
    /// The tool does not work without it.
    pub required: bool,
    /// What it is without being said, or an example.
    pub hint: String,
    /// What was typed.
    pub value: String,
}

/// A form: fields, or one field for all arguments.
#[derive(Debug, Clone)]
pub struct Form {
    /// One for each argument; empty for a tool that takes none.
    pub fields: Vec<Field>,
    /// All arguments as JSON, if fields cannot hold them or nobody wants them.
    pub whole: Option<String>,
    /// Why there are no fields, if the schema is the reason.
    pub why: &'static str,
}

impl Field {
    /// What its field is called in a form.
    pub fn key(&self) -> String {
        format!("{ARGUMENT}{}", self.name)
    }
}

/// The members of an object in the order in which they were written.
struct Ordered(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Ordered;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Ordered, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(Deserialize)]
struct Schema {
    properties: Option<Ordered>,
    #[serde(default)]
    required: Value,
}

/// Members of a schema that change what an object may hold in ways a form does not show.
const CONDITIONS: &[&str] = &["\"oneOf\"", "\"anyOf\"", "\"allOf\"", "\"$ref\""];

impl Form {
    /// An empty form for what a tool takes; `raw`: all arguments as JSON, whatever the schema says.
    pub fn of(schema: Option<&RawValue>, raw: bool) -> Self {
        let whole = |why| Form { fields: Vec::new(), whole: Some("{}".into()), why };
        let Some(schema) = schema else { return whole("The tool does not say what it takes.") };
        if raw {
            return whole("");
        }
        if schema.get().len() > SCHEMA_BYTES {
            return whole("The tool's schema is too large for a form.");
        }
        let Ok(Schema { properties, required }) = serde_json::from_str(schema.get()) else {
            return whole("The tool's schema is not one that a form can be made from.");
        };
        let Ordered(properties) = properties.unwrap_or(Ordered(Vec::new()));
        if properties.len() > FIELDS || properties.iter().any(|(name, _)| name.len() > NAME_BYTES) {
            return whole("The tool takes too much for a form.");
        }
        // A schema that only says more elsewhere has nothing to make fields from.
        if properties.is_empty() && CONDITIONS.iter().any(|word| schema.get().contains(word)) {
            return whole("What the tool takes depends on more than a form can show.");
        }
        let needed = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let mut fields: Vec<Field> =
            properties.into_iter().map(|(name, schema)| field(needed(&name), name, &schema)).collect();
        fields.sort_by_key(|field| !field.required);
        Form { fields, whole: None, why: "" }
    }

    /// The same with what was typed.
    pub fn filled(mut self, typed: &[(String, String)]) -> Self {
        let said = |key: &str| {
            let found = typed.iter().find(|(name, _)| name == key);
            // Browsers end lines of a form with two characters.
            found.map(|(_, value)| value.replace("\r\n", "\n"))
        };
        for field in &mut self.fields {
            field.value = said(&field.key()).unwrap_or_default();
        }
        if self.whole.is_some() {
            self.whole = Some(said(WHOLE).unwrap_or_else(|| "{}".into()));
        }
        self
    }

    /// The arguments as a JSON object, as they were typed.
    ///
    /// # Errors
    /// `validation` names the argument that is not what its field is for.
    pub fn arguments(&self) -> Result<String> {
        if let Some(whole) = &self.whole {
            let text = if whole.trim().is_empty() { "{}" } else { whole.trim() };
            return match serde_json::from_str::<&RawValue>(text) {
                Ok(raw) if raw.get().starts_with('{') => Ok(raw.get().to_owned()),
                Ok(_) => Err(err::validation("The arguments must be a JSON object: {\"name\": value}")),
                Err(cause) => Err(err::validation(format!("The arguments are not JSON: {cause}"))),
            };
        }
        let mut out = String::from("{");
        for field in &self.fields {
            let Some(json) = field.json()? else { continue };
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&string(&field.name));
            out.push(':');
            out.push_str(&json);
        }
        out.push('}');
        Ok(out)
    }
}

impl Field {
    /// What is sent for it; none: it is left out.
    fn json(&self) -> Result<Option<String>> {
        let text = self.value.trim();
        let unlike = |what: &str| -> Error { err::validation(format!("{} must be {what}", self.name)) };
        if text.is_empty() && !(self.required && matches!(self.kind, Kind::Line | Kind::Text)) {
            return Ok(None);
        }
        Ok(Some(match &self.kind {
            Kind::Line | Kind::Text => string(&self.value),
            Kind::Number(whole) => {
                number(text).ok_or_else(|| unlike(if *whole { "a whole number" } else { "a number" }))?
            }
            Kind::Flag if text == "true" || text == "false" => text.to_owned(),
            Kind::Flag => return Err(unlike("true or false")),
            Kind::Choice(all) => {
                let chosen = all.iter().find(|(_, json)| json == text).map(|(_, json)| json.clone());
                chosen.ok_or_else(|| unlike("one of the choices"))?
            }
            Kind::Lines(numbers) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let entry = |line: &str| if *numbers { number(line) } else { Some(string(line)) };
                let entries: Option<Vec<String>> = lines.map(entry).collect();
                format!("[{}]", entries.ok_or_else(|| unlike("a number in each line"))?.join(","))
            }
            Kind::Json => {
                let raw = serde_json::from_str::<&RawValue>(text);
                raw.map(|raw| raw.get().to_owned()).map_err(|cause| unlike(&format!("JSON: {cause}")))?
            }
        }))
    }
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A number as it was written: however many digits it has, they stay.
fn number(text: &str) -> Option<String> {
    let raw = serde_json::from_str::<&RawValue>(text).ok()?.get();
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| raw.to_owned())
}

/// The one type that a schema names; `null` beside it only says that the argument may be left out.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(all)) => {
            let mut named = all.iter().filter_map(Value::as_str).filter(|one| *one != "null");
            match (named.next(), named.next()) {
                (Some(one), None) => one,
                _ => "",
            }
        }
        _ => "",
    }
}

fn choices(all: &[Value]) -> Option<Vec<(String, String)>> {
    if all.is_empty() || all.len() > CHOICES {
        return None;
    }
    let shown = |value: &Value| match value {
        Value::String(text) if text.len() <= NAME_BYTES => Some((text.clone(), string(text))),
        Value::Bool(_) | Value::Number(_) | Value::Null => Some((value.to_string(), value.to_string())),
        _ => None,
    };
    all.iter().map(shown).collect()
}

fn kind(name: &str, schema: &Value) -> Kind {
    if let Some(all) = schema.get("enum") {
        return all.as_array().and_then(|all| choices(all)).map_or(Kind::Json, Kind::Choice);
    }
    match type_of(schema) {
        "string" => {
            let longest = schema.get("maxLength").and_then(Value::as_u64);
            let long = LONG.contains(&name.to_ascii_lowercase().as_str()) || longest.is_some_and(|most| most > 200);
            if long && schema.get("format").is_none() { Kind::Text } else { Kind::Line }
        }
        "integer" => Kind::Number(true),
        "number" => Kind::Number(false),
        "boolean" => Kind::Flag,
        "array" => match schema.get("items").map(type_of) {
            Some("string") => Kind::Lines(false),
            Some("integer" | "number") => Kind::Lines(true),
            _ => Kind::Json,
        },
        _ => Kind::Json,
    }
}

fn field(required: bool, name: String, schema: &RawValue) -> Field {
    // What serde_json does not read is nested too deeply: it is typed as JSON.
    let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
    let kind = kind(&name, &schema);
    let text = |member: &str| schema.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let default = schema.get("default").map(|value| format!("{} unless given", plain(value)));
    let example = || schema.get("examples").and_then(|all| all.get(0)).map(|one| format!("such as {}", plain(one)));
    let hint = default.or_else(example).unwrap_or_else(|| text("format"));
    Field { about: text("description"), name, kind, required, hint, value: String::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(schema: &str) -> Form {
        Form::of(Some(&RawValue::from_string(schema.into()).unwrap()), false)
    }

    fn sent(schema: &str, typed: &[(&str, &str)]) -> Result<String> {
        let typed: Vec<(String, String)> = typed.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        form(schema).filled(&typed).arguments()
    }

    const SCHEMA: &str = r#"{"type":"object","required":["title"],"properties":{
        "labels":{"type":"array","items":{"type":"string"}},"title":{"type":"string","description":"Short"},
        "state":{"enum":["open","closed",1,null]},"n":{"type":["integer","null"]},"draft":{"type":"boolean"},
        "filter":{"type":"object"},"body":{"type":"string"},"due":{"type":"string","format":"date","default":"today"}}}"#;

    #[test]
    fn each_argument_has_a_field_of_its_kind_required_ones_first() {
        let fields = form(SCHEMA).fields;
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["title", "labels", "state", "n", "draft", "filter", "body", "due"]);
        let kinds: Vec<&Kind> = fields.iter().map(|field| &field.kind).collect();
        assert_eq!((kinds[0], kinds[1], kinds[3]), (&Kind::Line, &Kind::Lines(false), &Kind::Number(true)));
        assert_eq!((kinds[4], kinds[5], kinds[6], kinds[7]), (&Kind::Flag, &Kind::Json, &Kind::Text, &Kind::Line));
        assert!(
            matches!(kinds[2], Kind::Choice(all) if all.len() == 4 && all[0] == ("open".into(), "\"open\"".into()))
        );
        assert_eq!((fields[0].about.as_str(), fields[7].hint.as_str()), ("Short", "today unless given"));
    }

    #[test]
    fn what_is_typed_arrives_as_it_was_typed_and_what_is_not_is_left_out() {
        let typed = [
            ("arg.title", "A \"bug\"\r\nhere"),
            ("arg.labels", "a\r\n\r\n b \r\n"),
            ("arg.state", "1"),
            ("arg.n", "123456789012345678901234567890"),
            ("arg.filter", r#"{ "a" : 1.50 }"#),
            ("do", "call"),
            ("arg.unknown", "x"),
        ];
        let expected = r#"{"title":"A \"bug\"\nhere","labels":["a","b"],"state":1,"n":123456789012345678901234567890,"filter":{ "a" : 1.50 }}"#;
        assert_eq!(sent(SCHEMA, &typed).unwrap(), expected);
        assert_eq!(
            sent(SCHEMA, &[]).unwrap(),
            r#"{"title":""}"#,
            "whether an empty text is one is for the tool to say"
        );
        for (name, bad) in [
            ("arg.n", "1x"),
            ("arg.draft", "maybe"),
            ("arg.state", "\"gone\""),
            ("arg.filter", "{"),
            ("arg.n", "\"1\""),
        ] {
            let said = sent(SCHEMA, &[("arg.title", "t"), (name, bad)]).unwrap_err();
            assert!(said.message().starts_with(name.trim_start_matches("arg.")), "{said}");
        }
    }

    #[test]
    fn a_schema_that_is_no_form_is_typed_as_json() {
        let deep = format!("{}1{}", r#"{"properties":{"a":"#.repeat(200), "}}".repeat(200));
        let many: Vec<String> = (0..=FIELDS).map(|n| format!("\"p{n}\":{{}}")).collect();
        let many = format!("{{\"properties\":{{{}}}}}", many.join(","));
        let large = format!("{{\"description\":\"{}\"}}", "x".repeat(SCHEMA_BYTES));
        let long = format!("{{\"properties\":{{\"{}\":{{}}}}}}", "n".repeat(NAME_BYTES + 1));
        for odd in ["true", "[]", "7", r#"{"properties":[]}"#, r#"{"oneOf":[{},{}]}"#, &many, &large, &long] {
            let form = form(odd);
            assert!(form.whole.is_some() && !form.why.is_empty(), "{}", &odd[..odd.len().min(60)]);
        }
        // Only the argument that is too deep is typed as JSON.
        assert_eq!(form(&deep).fields.first().map(|field| field.kind.clone()), Some(Kind::Json));
        assert!(form("{}").fields.is_empty() && form("{}").whole.is_none());
        let odd = r#"{"required":7,"properties":{"a":7,"b":{"enum":[]},"c":{"type":["string","integer"]},"d":{"enum":[{}]}}}"#;
        assert!(form(odd).fields.iter().all(|field| field.kind == Kind::Json));
        let whole = |text: &str| sent("true", &[("arguments", text)]);
        assert_eq!(whole(r#"{"a":[1]}"#).unwrap(), r#"{"a":[1]}"#);
        assert_eq!(whole(" ").unwrap(), "{}");
        assert!(whole("[]").is_err() && whole("{").is_err() && whole("{}{}").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_refused_or_one_json_object(text in any::<String>(), name in "[a-z\"\\\\{}]{0,6}") {
            let schema = format!(r#"{{"properties":{{{}:{{"type":"string"}},"j":{{}},"l":{{"type":"array","items":{{"type":"number"}}}}}}}}"#, string(&name));
            let key = format!("arg.{name}");
            let typed = [(key.as_str(), text.as_str()), ("arg.j", text.as_str()), ("arg.l", text.as_str())];
            if let Ok(json) = sent(&schema, &typed) {
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok_and(|value| value.is_object()), "{}", json);
            }
        }
    }
}
