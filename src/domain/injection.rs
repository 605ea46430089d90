//! How a secret reaches its server: as the value of a header, or of an environment variable if the server is a program.
//! Everything that could turn a value or a name into something else on the way (another header, another request, a
//! changed protocol, another program) is refused when it is set, not when it is sent (S-24). Messages name the rule,
//! never the value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    domain::program,
    error::{Error, ErrorCode, Result, err},
};

/// Longest value, bytes. Common servers limit a header line to 8 KiB.
pub const VALUE_BYTES: usize = 8192;
/// Longest name of a secret or a header, characters.
pub const NAME_CHARS: usize = 128;

/// Headers that frame the message, steer the connection or speak the protocol: never a secret's place. Compared
/// after folding case and `_` to `-`, because gateways behind CGI or nginx do not tell those apart.
const DENIED: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Families denied whole, under exactly this spelling (a secret called `MCP_API_KEY` is nobody's protocol header).
const DENIED_FAMILIES: &[&str] = &["content-", "mcp-", "proxy-"];
/// Families denied whole in every spelling.
const DENIED_FOLDED_FAMILIES: &[&str] = &["mcp-param-", "x-forwarded-"];

/// How a secret is sent. A secret without a rule is sent as a header (to a program: as a variable) with its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// As the value of this header.
    Header(String),
    /// As `Authorization: Bearer …`.
    Bearer,
    /// As this environment variable of a program.
    Env(String),
}

/// What kind of place a server has for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Headers of requests.
    Headers,
    /// The environment of a program.
    Environment,
}

impl Place {
    /// The place that secrets bound to `origin` have.
    pub fn of(origin: &str) -> Self {
        if origin.starts_with("stdio:") { Place::Environment } else { Place::Headers }
    }
}

impl Injection {
    /// A rule for the header `name`, if a secret may be sent in it.
    pub fn header(name: &str) -> Result<Self> {
        check_header(name, true)?;
        Ok(Injection::Header(name.to_owned()))
    }

    /// A rule for the environment variable `name`, if a secret may be its value.
    pub fn variable(name: &str) -> Result<Self> {
        check_variable(name)?;
        Ok(Injection::Env(name.to_owned()))
    }
}

/// JSON form: `{"mode":"header","header":"X"}`, `{"mode":"bearer"}` or `{"mode":"env","name":"X"}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
enum Form {
    Header { header: String },
    Bearer {},
    Env { name: String },
}

impl Serialize for Injection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Injection::Header(header) => Form::Header { header: header.clone() },
            Injection::Bearer => Form::Bearer {},
            Injection::Env(name) => Form::Env { name: name.clone() },
        }
        .serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Injection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Header { header } => Injection::header(&header).map_err(serde::de::Error::custom),
            Form::Bearer {} => Ok(Injection::Bearer),
            Form::Env { name } => Injection::variable(&name).map_err(serde::de::Error::custom),
        }
    }
}

/// The header (or variable) in which a secret is sent, and what stands before the value there.
pub fn placement<'a>(rule: Option<&'a Injection>, secret: &'a str) -> (&'a str, &'static str) {
    match rule {
        None => (secret, ""),
        Some(Injection::Header(name) | Injection::Env(name)) => (name, ""),
        Some(Injection::Bearer) => ("Authorization", "Bearer "),
    }
}

/// What a list of secrets shows for the rule: the header's name, or the variable's.
pub fn label<'a>(rule: Option<&'a Injection>, secret: &'a str) -> &'a str {
    placement(rule, secret).0
}

/// Two header names that some server on the way would take for the same one fold to the same text.
pub fn folded(header: &str) -> String {
    header.chars().map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// A secret's name is also an environment variable's: letters, digits and `_`, not beginning with a digit.
pub fn check_secret_name(name: &str) -> Result<()> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if first && rest && name.len() <= NAME_CHARS {
        return Ok(());
    }
    Err(err::validation("A secret's name consists of letters, digits and _, does not begin with a digit, and has at most 128 characters")
        .with_hint("For example GITHUB_TOKEN"))
}

/// A value that can stand in its place without becoming anything else. The message never contains it.
pub fn check_value_for(place: Place, value: &str) -> Result<()> {
    let refuse = |what: &str, hint: &str| Err(err::validation(format!("The secret's value {what}")).with_hint(hint));
    match place {
        Place::Headers => check_value(value),
        Place::Environment if value.is_empty() || value.len() > VALUE_BYTES => {
            refuse("is empty or longer than 8192 bytes", "Store the credential itself, not a file that holds it")
        }
        Place::Environment if value.contains('\0') => {
            refuse("contains a zero byte", "An environment variable cannot hold it")
        }
        Place::Environment => Ok(()),
    }
}

/// A value that can stand in a header without becoming anything else. The message never contains it.
pub fn check_value(value: &str) -> Result<()> {
    let refuse = |what: &str, hint: &str| Err(err::validation(format!("The secret's value {what}")).with_hint(hint));
    if value.is_empty() {
        return refuse("is empty", "To remove a secret, use `aerostack secrets delete`");
    }
    if value.len() > VALUE_BYTES {
        return refuse("is longer than 8192 bytes", "A header has to carry it: store a shorter credential");
    }
    if let Some(at) = value.bytes().position(|byte| !(0x20..=0x7e).contains(&byte)) {
        let what = format!("contains a byte at position {} that a header cannot carry", at + 1);
        return refuse(&what, "Only printable ASCII; check for line breaks or typographic characters from pasting");
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return refuse("begins or ends with a space", "Remove the space; it would be lost on the way");
    }
    Ok(())
}

/// Whether the secret `name` may be sent under this rule to a server that has such a place for it.
pub fn check_rule_for(place: Place, rule: Option<&Injection>, name: &str) -> Result<()> {
    match (place, rule) {
        (Place::Environment, Some(Injection::Header(_) | Injection::Bearer)) => {
            Err(err::validation("This server is a program: its secrets are environment variables, not headers")
                .with_hint(format!("aerostack secrets inject SERVER {name} --env VARIABLE")))
        }
        (Place::Headers, Some(Injection::Env(_))) => {
            Err(err::validation("This server is reached over HTTP: its secrets are headers, not environment variables")
                .with_hint(format!("aerostack secrets inject SERVER {name} --bearer   (or --header NAME)")))
        }
        (Place::Environment, None) => check_variable(name),
        (Place::Headers, _) | (Place::Environment, Some(Injection::Env(_))) => check_rule(rule, name),
    }
}

fn check_variable(name: &str) -> Result<()> {
    check_secret_name(name)?;
    if program::is_steering(name) {
        return Err(err::validation(format!(
            "A secret cannot be the variable {name}: it steers what the program does"
        ))
        .with_hint("Use the variable that the server's documentation names for its credential"));
    }
    Ok(())
}

/// Whether the secret `name` may be sent under this rule.
pub fn check_rule(rule: Option<&Injection>, name: &str) -> Result<()> {
    match rule {
        Some(Injection::Env(variable)) => check_variable(variable),
        Some(Injection::Bearer) => Ok(()),
        Some(Injection::Header(header)) => check_header(header, true),
        None => check_header(name, false).map_err(|refused| match refused.code() {
            ErrorCode::Validation => Error::new(ErrorCode::Validation, refused.message())
                .with_hint(format!("Without a rule the header is called {name} like the secret: choose another name, or give a rule (--header NAME or --bearer)")),
            _ => refused,
        }),
    }
}

fn check_header(name: &str, explicit: bool) -> Result<()> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > NAME_CHARS || !name.bytes().all(token) {
        return Err(err::validation(
            "A header's name consists of letters, digits and !#$%&'*+-.^_`|~, and has at most 128 characters",
        )
        .with_hint("For example Authorization or X-API-Key"));
    }
    let (folded, lower) = (folded(name), name.to_ascii_lowercase());
    let denied = DENIED.contains(&folded.as_str())
        || DENIED_FAMILIES.iter().any(|family| lower.starts_with(family))
        || DENIED_FOLDED_FAMILIES.iter().any(|family| folded.starts_with(family))
        || (folded == "cookie" && !explicit);
    if denied {
        return Err(err::validation(format!(
            "A secret cannot be sent as the header {name}: it belongs to the protocol"
        ))
        .with_hint("Use Authorization (--bearer) or a header of the server's own, such as X-API-Key"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_change_the_request_are_refused_without_being_repeated() {
        let long = "x".repeat(8193);
        for value in ["", "a\r\nX-Evil: 1", "é", "a\0b", "a\x7f", "a ", " a", "tab\there", &long] {
            let refused = check_value(value).unwrap_err();
            assert_eq!(refused.code(), ErrorCode::Validation);
            let said = format!("{} {}", refused.message(), refused.hint().unwrap());
            assert!(value.is_empty() || value.len() < 4 || !said.contains(value), "{said}");
        }
        let longest = "x".repeat(8192);
        for value in ["x", "Basic dXNlcjpwYXNz", "inner space", "~!@#$%^&*()", &longest] {
            assert!(check_value(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn headers_of_the_protocol_are_refused_in_every_spelling() {
        for header in [
            "Host",
            "HOST",
            "content-length",
            "Content_Length",
            "CONTENT_TYPE",
            "Content-Whatever",
            "Transfer-Encoding",
            "TE",
            "connection",
            "Upgrade",
            "Keep-Alive",
            "Proxy-Authorization",
            "PROXY_AUTHORIZATION",
            "Expect",
            "Forwarded",
            "X-Forwarded-For",
            "X_FORWARDED_HOST",
            "Via",
            "Mcp-Method",
            "MCP_SESSION_ID",
            "Mcp-Param-Region",
            "MCP-Protocol-Version",
            "Mcp-Anything",
            "Last-Event-ID",
        ] {
            assert_eq!(Injection::header(header).unwrap_err().code(), ErrorCode::Validation, "{header}");
        }
        for header in ["Authorization", "X-API-Key", "GITHUB_TOKEN", "MCP_API_KEY", "Cookie", "CONTENTFUL_TOKEN"] {
            assert!(Injection::header(header).is_ok(), "{header}");
        }
        for header in ["", "a b", "a:b", "a\r\nb", "é", "(x)"] {
            assert!(Injection::header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_cookie_must_be_asked_for_by_name() {
        assert!(check_rule(None, "Cookie").is_err() && check_rule(None, "COOKIE").is_err());
        assert!(check_rule(Some(&Injection::Header("Cookie".into())), "SESSION").is_ok());
        assert!(check_rule(None, "HOST").unwrap_err().hint().unwrap().contains("--header"));
        assert!(check_rule(Some(&Injection::Bearer), "HOST").is_ok());
    }

    #[test]
    fn a_programs_secrets_are_variables_that_do_not_steer_it() {
        let env = |name: &str| check_rule_for(Place::Environment, Some(&Injection::Env(name.into())), "X");
        assert!(env("GITHUB_TOKEN").is_ok() && check_rule_for(Place::Environment, None, "GITHUB_TOKEN").is_ok());
        for steering in ["LD_PRELOAD", "PATH", "NODE_OPTIONS", "PYTHONPATH", "A=B"] {
            assert!(env(steering).is_err() && Injection::variable(steering).is_err(), "{steering}");
            assert!(check_rule_for(Place::Environment, None, steering).is_err(), "{steering}");
        }
        assert!(check_rule_for(Place::Environment, Some(&Injection::Bearer), "X").is_err());
        assert!(check_rule_for(Place::Headers, Some(&Injection::Env("X".into())), "X").is_err());
        assert!(check_value_for(Place::Environment, "-----BEGIN\nkey\n").is_ok());
        assert!(check_value_for(Place::Environment, "a\0b").is_err());
        assert!(check_value_for(Place::Headers, "a\nb").is_err());
    }

    #[test]
    fn secret_names_are_those_of_environment_variables() {
        let longest = "A".repeat(128);
        let longer = "A".repeat(129);
        assert!(["GITHUB_TOKEN", "_x", "a1", &longest].into_iter().all(|name| check_secret_name(name).is_ok()));
        for name in ["", "1A", "A-B", "A B", "**", "A.B", "É", "A\n", &longer] {
            assert!(check_secret_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_rule_has_one_json_form() {
        let forms = [
            (Injection::Bearer, r#"{"mode":"bearer"}"#),
            (Injection::Header("X-API-Key".into()), r#"{"mode":"header","header":"X-API-Key"}"#),
            (Injection::Env("API_KEY".into()), r#"{"mode":"env","name":"API_KEY"}"#),
        ];
        for (rule, json) in forms {
            assert_eq!(serde_json::to_string(&rule).unwrap(), json);
            assert_eq!(serde_json::from_str::<Injection>(json).unwrap(), rule);
        }
        for bad in [r#"{"mode":"header"}"#, r#"{"mode":"header","header":"Host"}"#, r#"{"mode":"query"}"#, "{}"] {
            assert!(serde_json::from_str::<Injection>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_a_server_may_confuse_fold_together() {
        assert_eq!(folded("GITHUB_TOKEN"), folded("Github-Token"));
        assert_eq!(label(None, "WEBHOOK_SECRET"), "WEBHOOK_SECRET");
        assert_eq!(label(Some(&Injection::Bearer), "X"), "Authorization");
    }
}
