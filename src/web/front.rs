//! The gateway's front as the pages of this process reach it: without a socket, through the same routes. What is sent
//! here is refused, counted and recorded as if an editor had sent it; nothing is decided on the way.

use std::rc::Rc;

use actix_http::Request;
use actix_service::{IntoServiceFactory, Service as _, ServiceFactory};
use actix_web::{
    HttpResponse,
    dev::{AppConfig, ServiceResponse},
};
use futures_util::future::LocalBoxFuture;
use tokio::sync::OnceCell;

use crate::error::{Error, Result};

/// The routes, ready to be asked.
type Opened = Rc<dyn Fn(Request) -> LocalBoxFuture<'static, Result<HttpResponse>>>;

/// The way to the gateway's front; one per worker.
pub struct Front {
    open: Box<dyn Fn() -> LocalBoxFuture<'static, Result<Opened>>>,
    opened: OnceCell<Opened>,
}

impl Front {
    /// To the routes of what `app` makes; they are built when somebody asks first.
    pub fn new<A, F>(app: impl Fn() -> A + 'static) -> Self
    where
        A: IntoServiceFactory<F, Request>,
        F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = actix_web::Error> + 'static,
    {
        let open = move || -> LocalBoxFuture<'static, Result<Opened>> {
            let built = app().into_factory().new_service(AppConfig::default());
            Box::pin(async move {
                let service =
                    built.await.map_err(|_nothing_said| Error::internal("opening the front", "no service"))?;
                Ok(Rc::new(move |request: Request| -> LocalBoxFuture<'static, Result<HttpResponse>> {
                    let answered = service.call(request);
                    Box::pin(async move {
                        let answer = answered.await.map_err(|cause| Error::internal("asking the front", cause))?;
                        Ok(answer.into_parts().1)
                    })
                }) as Opened)
            })
        };
        Front { open: Box::new(open), opened: OnceCell::new() }
    }

    /// Sends a request. The caller gives it a deadline: a client that leaves is what a dropped future is.
    ///
    /// # Errors
    /// Only `internal`: the front's own refusals are answers.
    pub async fn send(&self, request: Request) -> Result<HttpResponse> {
        let opened = self.opened.get_or_try_init(|| (self.open)()).await?;
        opened(request).await
    }
}
