//! The URL at which an upload session continues.

use url::Url;

use crate::registry::client::Client;
use crate::registry::error::Result;
use crate::registry::http::Response;
use crate::registry::places::Endpoint;

impl Client {
    /// Returns the Location of a session. Registries behind a proxy that terminates TLS often
    /// name themselves with `http`; the session stays on TLS then.
    pub(super) async fn session_location(
        &self,
        place: &Endpoint,
        response: &Response,
    ) -> Result<Url> {
        let base = self.base(place).await?;
        let mut location = response.location()?;
        if base.scheme() == "https" && location.scheme() == "http" {
            let same = location.host_str() == base.host_str() && location.port() == base.port();
            if same {
                let _ = location.set_scheme("https");
            } else if !self.is_insecure(place) {
                return Err(response.unexpected("its Location leads from TLS to plain HTTP"));
            }
        }
        if !matches!(location.scheme(), "http" | "https") {
            return Err(response.unexpected("its Location is not HTTP"));
        }
        Ok(location)
    }
}
