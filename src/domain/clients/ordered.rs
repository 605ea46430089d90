//! JSON whose members keep the order in which people expect them. `serde_json` sorts names, which puts `headers`
//! before `url`.

/// A JSON value to be written.
pub(super) enum Json {
    Text(String),
    Flag(bool),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}
impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}
impl From<bool> for Json {
    fn from(flag: bool) -> Self {
        Json::Flag(flag)
    }
}

/// An object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A list of texts.
pub(super) fn list(texts: &[&str]) -> Json {
    Json::List(texts.iter().map(|text| Json::from(*text)).collect())
}

/// `text` in quotes: JSON, and as valid in YAML, TOML and Python for what we write.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Json {
    /// On several lines, two spaces a level; small lists on one.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }
    /// On one line without spaces.
    pub(super) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    fn write(&self, out: &mut String, level: Option<usize>) {
        match self {
            Json::Text(text) => out.push_str(&quoted(text)),
            Json::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Json::List(items) if items.iter().all(|item| matches!(item, Json::Text(_))) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 {
                        ""
                    } else if level.is_some() {
                        ", "
                    } else {
                        ","
                    });
                    item.write(out, None);
                }
                out.push(']');
            }
            Json::List(items) => {
                let items = items.iter().map(|item| (None, item));
                block(out, level, ['[', ']'], items);
            }
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| (Some(name.as_str()), value));
                block(out, level, ['{', '}'], members);
            }
        }
    }
}

fn block<'a>(
    out: &mut String,
    level: Option<usize>,
    [open, close]: [char; 2],
    items: impl Iterator<Item = (Option<&'a str>, &'a Json)>,
) {
    let indent = |out: &mut String, by: usize| {
        if let Some(level) = level {
            out.push('\n');
            out.push_str(&"  ".repeat(level + by));
        }
    };
    out.push(open);
    for (at, (name, value)) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        indent(out, 1);
        if let Some(name) = name {
            out.push_str(&quoted(name));
            out.push_str(if level.is_some() { ": " } else { ":" });
        }
        value.write(out, level.map(|level| level + 1));
    }
    indent(out, 0);
    out.push(close);
}
