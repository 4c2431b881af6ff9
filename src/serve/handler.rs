//! Handles one request: authenticates, routes, answers, and reports it to the observer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};

use super::body;
use super::response::{self, ApiError, Body, Code};
use super::route::{Route, route};
use super::{Access, Credentials, Observer};
use crate::sys::registry_store::{Store, StoreError};

/// The registry, shared by all connections.
pub(super) struct Registry {
    pub(super) store: Arc<Store>,
    pub(super) credentials: Option<Credentials>,
    pub(super) read_only: bool,
    pub(super) allow_delete: bool,
    pub(super) accept_sparse: bool,
    pub(super) max_blob: u64,
    pub(super) idle_timeout: Duration,
    pub(super) observer: Arc<dyn Observer>,
}

/// A request without its body.
pub(super) struct RequestHead {
    parts: Parts,
}

impl RequestHead {
    /// Returns a header's text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Returns the first value of a query parameter, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// True if the client wants only the headers of the answer.
    pub(super) fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }
}

impl Registry {
    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let head = RequestHead { parts };
        let route = route(head.parts.uri.path());
        let mut access = Access {
            peer,
            user: None,
            method: head.parts.method.to_string(),
            path: loggable(head.parts.uri.path(), route.as_ref().ok()),
            status: 0,
            length: None,
        };
        let result = match self.authorise(&head) {
            Ok(user) => {
                access.user = user;
                match route {
                    Ok(route) => self.dispatch(&head, route, &mut body).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(cause) = &error.cause {
                    self.observer.failed(cause);
                }
                // A client that sent `Expect` waits with its body; reading would invite it to
                // send that.
                if head.header(header::EXPECT).is_none() {
                    body::drain(&mut body, self.idle_timeout).await;
                }
                error.into_response()
            }
        };
        response::set(&mut response, response::API_VERSION, "registry/2.0");
        response::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        access.status = response.status().as_u16();
        access.length = match response.headers().get(header::CONTENT_LENGTH) {
            Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
            None => response.body().size_hint().exact(),
        };
        self.observer.answered(&access);
        response
    }

    fn authorise(&self, head: &RequestHead) -> Result<Option<String>, ApiError> {
        let Some(credentials) = &self.credentials else {
            return Ok(None);
        };
        match credentials.user(head.parts.headers.get(header::AUTHORIZATION)) {
            Some(user) => Ok(Some(user.to_owned())),
            None => Err(
                ApiError::new(Code::Unauthorized, "Authentication is required").header(
                    header::WWW_AUTHENTICATE,
                    "Basic realm=\"airferry\", charset=\"UTF-8\"",
                ),
            ),
        }
    }

    async fn dispatch(
        &self,
        head: &RequestHead,
        route: Route,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let method = &head.parts.method;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !reads && self.read_only {
            let message = "The registry is read-only";
            return Err(
                ApiError::new(Code::Unsupported, message).header(header::ALLOW, "GET, HEAD")
            );
        }
        let allowed = match route {
            Route::Base if reads => {
                return Ok(response::json(StatusCode::OK, b"{}".to_vec()));
            }
            Route::Catalog if reads => return self.catalog(head).await,
            Route::Tags(name) if reads => return self.tags(head, name).await,
            Route::Referrers(name, subject) if reads => {
                return self.referrers(head, name, subject).await;
            }
            Route::Manifest(name, selector) => match *method {
                Method::GET | Method::HEAD => return self.manifest(head, name, selector).await,
                Method::PUT => return self.put_manifest(head, name, selector, body).await,
                Method::DELETE if self.allow_delete => {
                    return self.delete_manifest(name, selector).await;
                }
                _ => "GET, HEAD, PUT",
            },
            Route::BadReference(_) if reads => {
                let message = "The reference is neither a tag nor a sha256 digest";
                return Err(ApiError::new(Code::ManifestUnknown, message));
            }
            Route::BadReference(_) => {
                let message = "The reference is neither a tag nor a sha256 digest";
                return Err(ApiError::new(Code::ManifestInvalid, message));
            }
            Route::Blob(name, digest) => match *method {
                Method::GET | Method::HEAD => return self.blob(head, name, digest).await,
                Method::DELETE if self.allow_delete => return self.delete_blob(name, digest).await,
                _ => "GET, HEAD",
            },
            Route::Uploads(name) => match *method {
                Method::POST => return self.start_upload(head, name, body).await,
                _ => "POST",
            },
            Route::Upload(name, id) => match *method {
                Method::GET | Method::HEAD => return self.upload_status(name, id).await,
                Method::PATCH => return self.patch_upload(head, name, id, body).await,
                Method::PUT => return self.finish_upload(head, name, id, body).await,
                Method::DELETE => return self.cancel_upload(name, id).await,
                _ => "GET, PATCH, PUT, DELETE",
            },
            Route::Base | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET, HEAD",
        };
        let message = match *method == Method::DELETE && !self.allow_delete {
            true => "Deletion is disabled (start the registry with --allow-delete)",
            false => "This endpoint does not support the method",
        };
        Err(ApiError::new(Code::Unsupported, message).header(header::ALLOW, allowed))
    }

    /// Runs store operations in a thread where they may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(ApiError::internal(error.to_string())),
        }
    }
}

/// Returns a path for the log. The id of an upload session grants access to it, so it is left
/// out.
fn loggable(path: &str, route: Option<&Route>) -> String {
    match (route, path.rsplit_once('/')) {
        (Some(Route::Upload(..)), Some((before, _))) => format!("{before}/..."),
        _ => path.escape_debug().take(400).collect(),
    }
}
