//! API keys of the own account: made (the value is in that one answer), listed, revoked.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use secrecy::ExposeSecret as _;

use crate::{
    actors::{
        Actors,
        token_authority::{IssueApiKey, RevokeApiKey},
    },
    admin::{
        Admin,
        auth::Caller,
        conventions::tagged,
        dto::{ApiKey, ApiKeyCreated, CreateApiKey, Page, TokenStatus},
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
    },
    domain::{
        clock::{self, Timestamp},
        ids::ApiKeyId,
        role::{Principal, Role},
    },
    error::{Error, Result, err},
    store::{
        accounts,
        api_keys::{self, ApiKeyRecord},
    },
};

fn dto(actors: &Actors, by: &Principal, record: ApiKeyRecord, namespace: String, now: Timestamp) -> ApiKey {
    let status = match (&record.revoked_at, record.is_active(now)) {
        (Some(_), _) => TokenStatus::Revoked,
        (None, true) => TokenStatus::Active,
        (None, false) => TokenStatus::Expired,
    };
    ApiKey {
        id: record.id.to_string(),
        name: record.name,
        hint: record.hint,
        namespace,
        bound: record.bound,
        role: record.max_role.map(|role| role.as_str().into()),
        status,
        created_at: record.created_at,
        expires_at: record.expires_at,
        last_used_at: record.last_used_at.max(actors.tokens.api_key_last_used(record.id)),
        current: by.api_key == Some(record.id),
    }
}

async fn described(actors: &Actors, by: &Principal, records: Vec<ApiKeyRecord>) -> Result<Vec<ApiKey>> {
    let described = actors
        .store
        .read(move |db| async move {
            let mut described = Vec::with_capacity(records.len());
            for record in records {
                let namespace = accounts::get(&db, record.namespace).await?.map(|found| found.username);
                described.push((record, namespace.unwrap_or_default()));
            }
            Ok(described)
        })
        .await?;
    let now = clock::now();
    Ok(described.into_iter().map(|(record, namespace)| dto(actors, by, record, namespace, now)).collect())
}

/// The own keys, oldest first, revoked ones included.
pub async fn list(actors: &Actors, by: &Principal, paging: &Paging) -> Result<Page<ApiKey>> {
    by.require(Role::Viewer)?;
    let account = by.account;
    let records = actors.store.read(move |db| async move { api_keys::list(&db, account).await }).await?;
    let Page { data, next_cursor } = page(records, paging, |record| record.id.to_string())?;
    Ok(Page { data: described(actors, by, data).await?, next_cursor })
}

/// One of the own keys.
pub async fn get(actors: &Actors, by: &Principal, id: &str) -> Result<ApiKey> {
    by.require(Role::Viewer)?;
    let (account, key) = (by.account, id.parse::<ApiKeyId>().map_err(|_not_one| unknown())?);
    let found = actors.store.read(move |db| async move { api_keys::get(&db, account, key).await }).await?;
    described(actors, by, vec![found.ok_or_else(unknown)?]).await?.pop().ok_or_else(unknown)
}

/// A key without what its use changes, the same for all keys that ask.
fn lasting(key: &ApiKey) -> ApiKey {
    ApiKey { last_used_at: None, current: false, ..key.clone() }
}

fn unknown() -> Error {
    err::not_found("No such API key").with_hint("aerostack key list")
}

async fn held(actors: &Actors, by: &Principal, id: &str, seen: &IfMatch) -> Result<Principal> {
    let thing = async { Ok(("api_key", get(actors, by, id).await?.id)) };
    seen.hold(actors, by, thing, async { Ok(lasting(&get(actors, by, id).await?)) }).await
}

/// Makes a key. It never may more than what makes it.
pub async fn create(actors: &Actors, by: &Principal, input: CreateApiKey) -> Result<ApiKeyCreated> {
    by.require(Role::Viewer)?;
    let role = input.role.as_deref().map(str::parse::<Role>).transpose()?;
    if let Some(role) = role {
        by.require(role)?;
    }
    let wanted = IssueApiKey {
        account: by.account,
        namespace: by.namespace,
        bound: input.bound,
        name: input.name,
        expires_in_seconds: input.expires_in,
        max_role: role,
        by: by.clone(),
    };
    let issued = actors.tokens.issue_api_key(wanted).await?;
    let about = described(actors, by, vec![issued.record]).await?.pop();
    let about = about.ok_or_else(|| err::not_found("The key is gone already"))?;
    Ok(ApiKeyCreated { key: issued.raw.expose_secret().to_owned(), about })
}

/// Revokes one of the own keys; its next use is refused.
pub async fn revoke(actors: &Actors, by: &Principal, id: &str) -> Result<ApiKey> {
    let unknown = || err::not_found("No such API key in force").with_hint("aerostack key list");
    let key = id.parse::<ApiKeyId>().map_err(|_not_one| unknown())?;
    let named = RevokeApiKey { account: by.account, key, by: by.clone() };
    let record = actors.tokens.revoke_api_key(named).await?;
    described(actors, by, vec![record]).await?.pop().ok_or_else(unknown)
}

/// List the own API keys
#[utoipa::path(get, path = "/api/v1/admin/api-keys", tag = "account", params(Paging),
    responses((status = 200, body = Page<ApiKey>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &paging.0).await?))
}

/// Make an API key; its value is in this one answer
#[utoipa::path(post, path = "/api/v1/admin/api-keys", tag = "account", request_body = CreateApiKey,
    responses((status = 201, body = ApiKeyCreated), Problems))]
pub async fn create_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<CreateApiKey>) -> Reply {
    Ok(HttpResponse::Created().json(create(&admin.actors, &by.0, body.0).await?))
}

/// Show one of the own API keys
#[utoipa::path(get, path = "/api/v1/admin/api-keys/{id}", tag = "account", params(("id" = String, Path)),
    responses((status = 200, body = ApiKey), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, id: Path<String>, _: Query<Nothing>) -> Reply {
    let shown = get(&admin.actors, &by.0, &id).await?;
    Ok(tagged(&shown, &lasting(&shown)))
}

/// Revoke an API key
#[utoipa::path(delete, path = "/api/v1/admin/api-keys/{id}", tag = "account", params(("id" = String, Path), IfMatch),
    responses((status = 200, body = ApiKey), Problems))]
pub async fn revoke_route(
    admin: web::Data<Admin>,
    by: Caller,
    id: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let by = held(&admin.actors, &by.0, &id, &seen).await?;
    Ok(HttpResponse::Ok().json(revoke(&admin.actors, &by, &id).await?))
}
