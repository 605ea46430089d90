//! `/namespace`: which of their namespaces somebody looks at.

use serde::Deserialize;

use crate::{
    admin::whoami,
    error::{Error, err},
    web::{
        go_to,
        visit::{Answer, Visit, namespace_cookie},
    },
};

/// The form.
#[derive(Deserialize)]
pub struct Form {
    namespace: String,
}

/// Looks at another one from now on.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let who = whoami::whoami(visit.actors(), &visit.by).await?;
    if !who.namespaces.iter().any(|one| one.namespace == form.namespace) {
        return Err(err::not_found("No such namespace").into());
    }
    let encrypted = visit.actors().public_url.scheme() == "https";
    let mut answer = go_to("/overview");
    match answer.add_cookie(&namespace_cookie(&form.namespace, encrypted)) {
        Ok(()) => Ok(answer),
        Err(cause) => Err(Error::internal("setting a cookie", cause).into()),
    }
}
