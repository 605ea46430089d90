//! `GET /whoami`: whose API key this is.

use actix_web::{HttpResponse, web};

use crate::{
    actors::Actors,
    admin::{
        Admin,
        auth::Caller,
        dto::{Membership, WhoAmI},
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
    },
    domain::{
        plan::Plan,
        role::{Principal, Role},
    },
    error::{Result, err},
    store::accounts::{self, AccountRecord},
};

/// The account whose namespace is acted in.
pub async fn namespace(actors: &Actors, by: &Principal) -> Result<AccountRecord> {
    let id = by.namespace;
    let found = actors.store.read(move |db| async move { accounts::get(&db, id).await }).await?;
    found.ok_or_else(|| err::not_found("The namespace of this API key is gone"))
}

/// Who acts.
pub async fn whoami(actors: &Actors, by: &Principal) -> Result<WhoAmI> {
    let (namespace, account) = (namespace(actors, by).await?, by.account);
    let memberships = actors.store.read(move |db| async move { accounts::namespaces_of(&db, account).await }).await?;
    let membership = |(namespace, role): (AccountRecord, Role)| Membership {
        namespace: namespace.username,
        role: role.as_str().into(),
    };
    Ok(WhoAmI {
        account: by.account.to_string(),
        username: by.username.to_string(),
        namespace: namespace.username,
        label: by.label.to_string(),
        role: by.role.to_string(),
        plan: Plan::parse(&namespace.plan).as_str().into(),
        api_key: by.api_key.map(|key| key.to_string()),
        namespaces: memberships.into_iter().map(membership).collect(),
        public_url: actors.public_url.as_str().trim_end_matches('/').to_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

/// Who the API key belongs to
#[utoipa::path(get, path = "/api/v1/admin/whoami", tag = "account", responses((status = 200, body = WhoAmI), Problems))]
pub async fn show(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(whoami(&admin.actors, &by.0).await?))
}
