//! What requests bring: JSON bodies, query parameters, pages. Strict on purpose: an unknown parameter or member is an
//! error, because it is nearly always a typing mistake. Messages never repeat a value that was sent.

use std::sync::Arc;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{self, Bytes},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{LocalBoxFuture, Ready, ready};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{SchemaType, Type},
    },
};

use crate::{
    actors::Actors,
    admin::{
        body::unread,
        conventions,
        dto::{FieldError, Page},
        reply::{Refusal, invalid_members},
    },
    domain::{role::Principal, seen::Seen},
    error::{Error, ErrorCode, Result},
    store,
};

/// Items on a page unless another number is asked for, and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;
/// The same for logs, of which the newest are asked for.
const NEWEST: u64 = 50;
const MOST_NEWEST: u64 = 1000;

/// A JSON body, sent as `application/json`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, std::result::Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = declared.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let error = Error::new(ErrorCode::UnsupportedMediaType, "The body must be sent as application/json")
                .with_hint("add the header Content-Type: application/json");
            return Box::pin(ready(Err(Refusal(error))));
        }
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            let body = body.await.map_err(|error| Refusal(unread(&error)))?;
            Ok(Json(parse(&body)?))
        })
    }
}

/// Reads a body; says which member is wrong without repeating what was in it.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => wrong_member(&error.to_string()),
        _ => Error::new(ErrorCode::ParseError, format!("The body is not JSON (line {})", error.line())),
    })
}

/// Serde's messages quote values (`invalid type: string "ghp_…", expected …`): only what is known to be a name stays.
fn wrong_member(message: &str) -> Error {
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let expected = message.rsplit_once(", expected ").map(|(_, what)| what.split(" at line").next().unwrap_or(what));
    let pointer = if message.starts_with("missing field")
        || message.starts_with("unknown field")
        || message.starts_with("duplicate field")
    {
        format!("/{}", quoted.replace('~', "~0").replace('/', "~1"))
    } else {
        String::new()
    };
    let detail = match message {
        m if m.starts_with("missing field") => "is missing".to_owned(),
        m if m.starts_with("duplicate field") => "is given twice".to_owned(),
        m if m.starts_with("unknown field") => match expected {
            Some(known) => format!("is not known here; expected {known}"),
            None => "is not known here".to_owned(),
        },
        _ => format!("has the wrong type or value; expected {}", expected.unwrap_or("something else")),
    };
    let what = if pointer.is_empty() { "a member".to_owned() } else { format!("\"{}\"", quoted.escape_debug()) };
    let title = format!("The body does not fit: {what} {detail}");
    invalid_members(title, vec![FieldError { pointer, detail }])
}

/// Query parameters; unknown ones are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Refusal;
    type Future = Ready<std::result::Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match web::Query::<T>::from_query(&without_namespace(request.query_string())) {
            Ok(query) => Ok(Query(query.into_inner())),
            Err(error) => Err(Refusal(wrong_parameter(&error.to_string()))),
        })
    }
}

/// The parameter that every route takes: `auth` has read it already.
pub const NAMESPACE: &str = "namespace";

fn without_namespace(query: &str) -> String {
    let others = query.split('&').filter(|pair| pair.split('=').next() != Some(NAMESPACE));
    others.collect::<Vec<_>>().join("&")
}

/// The namespace that is asked for, without its `@`.
pub fn namespace(query: &str) -> Result<Option<String>> {
    let mut said = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == NAMESPACE);
    let (first, second) = (said.next(), said.next());
    if second.is_some() {
        return Err(Error::new(ErrorCode::InvalidRequest, "The query parameter \"namespace\" is given twice"));
    }
    Ok(first.map(|(_, name)| name.trim_start_matches('@').to_owned()).filter(|name| !name.is_empty()))
}

fn wrong_parameter(message: &str) -> Error {
    let name = message.split('`').nth(1).filter(|_| message.contains("field")).unwrap_or_default();
    let title = match message {
        m if m.contains("unknown field") => format!("Unknown query parameter \"{}\"", name.escape_debug()),
        m if m.contains("missing field") => format!("The query parameter \"{name}\" is missing"),
        m if m.contains("duplicate field") => format!("The query parameter \"{name}\" is given twice"),
        _ => "A query parameter has the wrong type or value".to_owned(),
    };
    let error = Error::new(ErrorCode::InvalidRequest, title);
    match message.split_once("expected ") {
        Some((_, known)) if message.contains("unknown field") => {
            error.with_hint(format!("known here: {}", known.replace('`', "")))
        }
        _ => error,
    }
}

/// What the caller has seen of a thing that it changes: `If-Match`.
pub struct IfMatch(Option<String>);

impl FromRequest for IfMatch {
    type Error = Refusal;
    type Future = Ready<std::result::Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let given = request.headers().get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default().to_owned());
        ready(Ok(IfMatch(given)))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let header = ParameterBuilder::new()
            .name(header::IF_MATCH.as_str())
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` that a GET of it gave: if it has changed since, the answer is 412 and nothing is done.",
            ))
            .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))));
        vec![header.build()]
    }
}

impl IfMatch {
    /// Who acts, held to what they have seen, if they said so: the thing is `now` as it was, and the act's own transaction
    /// looks whether it stays so. `thing` names it as the change log does.
    pub async fn hold<T: Serialize>(
        &self,
        actors: &Actors,
        by: &Principal,
        thing: impl Future<Output = Result<(&'static str, String)>>,
        now: impl Future<Output = Result<T>>,
    ) -> Result<Principal> {
        let Some(said) = &self.0 else { return Ok(by.clone()) };
        let (kind, subject) = thing.await?;
        let of = subject.clone();
        // Counted before it is looked at: what comes between shows in the transaction.
        let changes = actors.store.read(move |db| async move { store::changes_of(&db, kind, &of).await }).await?;
        let now = serde_json::to_vec(&now.await?).map_err(|cause| Error::internal("writing an answer", cause))?;
        if conventions::names(said, &conventions::etag(&now)) {
            return Ok(Principal { seen: Some(Arc::new(Seen { kind, subject, changes })), ..by.clone() });
        }
        Err(store::has_changed())
    }
}

/// No query parameters at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Items on a page: 50 unless given, at most 500.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    /// Items on the page.
    pub fn size(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
    }
    /// The key after which the page begins.
    pub fn after(&self) -> Result<Option<String>> {
        self.cursor.as_deref().map(decode_cursor).transpose()
    }
}

/// The page of `items`, which are in ascending order of `key`.
pub fn page<T>(items: Vec<T>, paging: &Paging, key: impl Fn(&T) -> String) -> Result<Page<T>> {
    let after = paging.after()?;
    let mut rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
    let data: Vec<T> = rest.by_ref().take(paging.size()).collect();
    let next_cursor = rest.next().and_then(|_| data.last()).map(|last| encode_cursor(&key(last)));
    Ok(Page { data, next_cursor })
}

/// How many of the newest entries of a log are on a page: 50 unless another number is asked for, at most 1000.
pub fn newest(limit: Option<u64>) -> u64 {
    limit.unwrap_or(NEWEST).clamp(1, MOST_NEWEST)
}

/// Cuts a list that was asked for with one item too many; whether there are more.
pub fn cut<T>(items: &mut Vec<T>, limit: u64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    more
}

/// Makes a cursor. Opaque for callers: its inside may change.
pub fn encode_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Reads a cursor.
pub fn decode_cursor(cursor: &str) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        Error::new(ErrorCode::InvalidRequest, "The cursor is not one of ours")
            .with_hint("take next_cursor of the page before as it is")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::dto::{CreateToken, SetSecret};

    #[test]
    fn wrong_members_are_named_and_values_are_not() {
        let error = parse::<CreateToken>(br#"{"nam":"x"}"#).err().unwrap();
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
        assert!(error.message().contains("\"nam\" is not known here"), "{error}");
        let error = parse::<CreateToken>(b"{}").err().unwrap();
        assert!(error.message().contains("\"name\" is missing"), "{error}");
        for body in [
            r#"{"name":"A","value":["CANARY"]}"#,
            r#"{"name":"A","value":"v","injection":"CANARY"}"#,
            r#"{"name":"A","value":"v","injection":{"mode":"CANARY"}}"#,
        ] {
            let error = parse::<SetSecret>(body.as_bytes()).err().unwrap();
            let said = format!("{} {:?} {:?}", error.message(), error.hint(), error.data());
            assert!(!said.contains("CANARY"), "{said}");
        }
        assert_eq!(parse::<CreateToken>(b"{").err().unwrap().code(), ErrorCode::ParseError);
        assert!(parse::<CreateToken>(br#"{"name":"a","name":"b"}"#).is_err(), "given twice");
    }

    #[test]
    fn pages_follow_one_another_and_end() {
        let items = || ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let got = page(items(), &Paging { limit: Some(2), cursor }, Clone::clone).unwrap();
            all.extend(got.data);
            cursor = got.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, items());
        assert!(page(items(), &Paging { limit: None, cursor: Some("%%%".into()) }, Clone::clone).is_err());
        let exact = page(items(), &Paging { limit: Some(5), cursor: None }, Clone::clone).unwrap();
        assert!(exact.next_cursor.is_none());
    }

    #[test]
    fn unknown_parameters_are_refused() {
        let error =
            web::Query::<Paging>::from_query("limt=1").map_err(|e| wrong_parameter(&e.to_string())).err().unwrap();
        assert_eq!(error.message(), "Unknown query parameter \"limt\"");
        assert!(error.hint().unwrap().contains("limit"), "{error:?}");
        assert!(web::Query::<Nothing>::from_query("a=1").is_err() && web::Query::<Nothing>::from_query("").is_ok());
    }
}
