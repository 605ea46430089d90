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
    store::{
        accounts::{self, AccountRecord},
        api_keys,
    },
};

/// The account whose namespace is acted in.
pub async fn namespace(actors: &Actors, by: &Principal) -> Result<AccountRecord> {
    let id = by.namespace;
    let found = actors.store.read(move |db| async move { accounts::get(&db, id).await }).await?;
    found.ok_or_else(|| err::not_found("The namespace of this API key is gone"))
}

/// Who acts.
pub async fn whoami(actors: &Actors, by: &Principal) -> Result<WhoAmI> {
    let (namespace, account, key) = (namespace(actors, by).await?, by.account, by.api_key);
    let read = actors.store.read(move |db| async move {
        let key = match key {
            Some(key) => api_keys::get(&db, account, key).await?,
            None => None,
        };
        Ok((accounts::namespaces_of(&db, account).await?, key))
    });
    let (mut memberships, key) = read.await?;
    // A key that is lost tells no more than it opens.
    memberships.retain(|(there, _)| key.as_ref().is_none_or(|key| !key.bound || there.id == by.namespace));
    let most = key.and_then(|key| key.max_role);
    let membership = |(namespace, role): (AccountRecord, Role)| Membership {
        namespace: namespace.username,
        role: most.map_or(role, |most| most.min(role)).as_str().into(),
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
