//! The name of the own namespace. It can be changed while nothing goes by it.

use actix_web::{HttpResponse, web};

use crate::{
    actors::{
        Actors,
        token_people::{RenameNamespace, in_use},
    },
    admin::{
        Admin,
        auth::Caller,
        dto::{NamespaceName, RenameAccount},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
    },
    domain::{
        clock,
        role::{Principal, Role},
        slug::Slug,
    },
    error::Result,
};

/// Whether whoever acts can still give the namespace another name.
pub async fn is_open(actors: &Actors, by: &Principal) -> Result<bool> {
    let namespace = by.namespace;
    if by.role < Role::Owner || by.account != namespace {
        return Ok(false);
    }
    let read = actors.store.read(move |db| async move { in_use(&db, namespace, clock::now()).await });
    Ok(read.await?.is_none())
}

/// Gives the own namespace, and thereby its account, another name.
pub async fn rename(actors: &Actors, by: &Principal, name: &str) -> Result<NamespaceName> {
    by.require(Role::Owner)?;
    let name = Slug::parse(name.trim())?;
    let renamed = actors.tokens.rename_namespace(RenameNamespace { name, by: by.clone() }).await?;
    Ok(NamespaceName { namespace: renamed.username })
}

/// Rename the own account and its namespace, while it is unused
#[utoipa::path(post, path = "/api/v1/admin/account/name", tag = "account", request_body = RenameAccount,
    responses((status = 200, body = NamespaceName), Problems))]
pub async fn rename_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<RenameAccount>) -> Reply {
    Ok(HttpResponse::Ok().json(rename(&admin.actors, &by.0, &body.0.name).await?))
}
