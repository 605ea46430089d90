//! The OpenAPI 3.1 document at `/openapi.json`, made from the handlers in the route table.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, http::header};
use utoipa::{
    OpenApi as _,
    openapi::{
        HeaderBuilder, ObjectBuilder, OpenApi, RefOr, Required,
        path::{ParameterBuilder, ParameterIn},
        schema::{SchemaType, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    Paths,
    conventions::{etag, has_seen},
    dto::Problem,
    request::NAMESPACE,
};

/// What every route may answer besides its own answers.
#[derive(utoipa::IntoResponses)]
pub enum Problems {
    /// The request was refused; the document says why and what to do.
    #[response(status = "4XX", content_type = "application/problem+json")]
    Refused(#[to_schema] Problem),
    /// The gateway could not do it now.
    #[response(status = "5XX", content_type = "application/problem+json")]
    Failed(#[to_schema] Problem),
}

/// The document.
pub fn document() -> OpenApi {
    let mut document = Paths::openapi();
    document.info.title = "aerostack admin API".into();
    document.info.version = "1".into();
    document.info.description = Some(
        "Administration of an aerostack gateway. Times are RFC 3339 UTC, durations seconds. Unknown members and query \
         parameters are refused. Errors are RFC 9457 problem documents. Lists come in pages (`limit`, `cursor`; the next \
         one is in `next_cursor` and in the `Link` header). Every GET has an `ETag` and takes `If-None-Match`; changing \
         or removing a single thing takes `If-Match`. A POST with an `Idempotency-Key` is done once: for 24 hours the \
         same request gets the same answer, without what was shown once. `X-Request-Id` is taken and given back. \
         `RateLimit` headers tell what is left."
            .into(),
    );
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("aak_…").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    let cookie = ApiKeyValue::with_description(
        "__Host-aerostack",
        "Changes must come from a page of this gateway and bring the session's token as `X-CSRF-Token`.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let requirement = |name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    document.security = Some(vec![requirement("api_key"), requirement("session")]);
    add_namespace(&mut document);
    add_tags(&mut document);
    document
}

/// Every complete answer to a `GET` has a tag.
fn add_tags(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let Some(RefOr::T(answer)) = item.get.as_mut().and_then(|get| get.responses.responses.get_mut("200")) else {
            continue;
        };
        if answer.content.contains_key("application/json") {
            let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
            let tag = HeaderBuilder::new().schema(Some(text)).description(Some("For `If-Match` and `If-None-Match`."));
            answer.headers.insert("ETag".to_owned(), RefOr::T(tag.build()));
        }
    }
}

/// Every route takes the namespace to act in.
fn add_namespace(document: &mut OpenApi) {
    let parameter = ParameterBuilder::new()
        .name(NAMESPACE)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("The namespace to act in, one you are a member of; your own unless given."))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.parameters.get_or_insert_default().push(parameter.clone().into());
        }
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_json().unwrap_or_default());

/// Serves the document.
pub async fn serve(request: HttpRequest) -> HttpResponse {
    let tag = etag(TEXT.as_bytes());
    if has_seen(request.headers(), &tag) {
        return HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish();
    }
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, tag))
        .body(TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::admin::{BASE, ROUTES};

    fn json() -> Value {
        serde_json::to_value(document()).unwrap()
    }

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let json = json();
        let documented = |path: &str, method: &str| json["paths"][path.replace(":.+", "")].get(method).is_some();
        for (path, method) in ROUTES {
            assert!(documented(&format!("{BASE}{path}"), method), "{method} {path} is not in the document");
        }
        let operations: usize =
            json["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len());
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
    }

    /// Things without a tag of their own: whole collections, what is only ended, what is shown in another list.
    const WITHOUT_TAG: &[&str] = &[
        "patch /workspaces/{slug}/servers/{server}/tools",
        "delete /mcp-servers/{slug}/secrets",
        "delete /session",
        "delete /sessions/{id}",
        "delete /team/invites/{id}",
    ];

    #[test]
    fn whatever_is_changed_or_removed_is_shown_with_a_tag_and_taken_as_it_was_seen() {
        let json = json();
        for (path, method) in ROUTES.iter().filter(|(_, method)| ["patch", "delete"].contains(method)) {
            let item = &json["paths"][format!("{BASE}{path}")];
            let header = |one: &Value| one["name"] == "if-match" && one["in"] == "header";
            let takes = item[*method]["parameters"].as_array().unwrap().iter().any(header);
            let excepted = WITHOUT_TAG.contains(&format!("{method} {path}").as_str());
            assert_eq!(takes, !excepted, "{method} {path}");
            let shown = &item["get"]["responses"]["200"]["headers"]["ETag"];
            assert!(excepted || shown.is_object(), "{path} is shown with its tag");
        }
    }

    #[test]
    fn no_answer_has_a_place_for_a_secrets_value() {
        let json = json();
        for (name, schema) in json["components"]["schemas"].as_object().unwrap() {
            let members = schema["properties"].as_object().cloned().unwrap_or_default();
            assert!(!members.contains_key("value") || name == "SetSecret", "{name} has a value");
        }
        let text = json["paths"].to_string();
        for operation in text.split("\"responses\"").skip(1) {
            let responses = operation.split("\"requestBody\"").next().unwrap();
            assert!(!responses.contains("schemas/SetSecret"), "an answer refers to SetSecret");
        }
    }
}
