//! The signatures that travel with a release: found and judged before anything of it is copied.
//!
//! Absence of signatures may be accepted. A signature that is there and not good never is.

use super::contents::Contents;
use super::signatures::{self, Store};
use super::verification::Verification;
use crate::content::release::verification_config::VerificationConfig;
use crate::model::{Digest, Reference, ReleaseSignature};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result};

/// Looks for signatures of a release, and judges them.
pub(crate) struct Verifier<'a> {
    /// Whose word counts, and where signatures are.
    pub(crate) verification: &'a Verification,
    /// The release.
    pub(crate) release: &'a Reference,
}

impl Verifier<'_> {
    /// The signatures by which a release is verified; none when it is unsigned and that is
    /// accepted. A list is verified as such, or else by each of its images.
    ///
    /// # Errors
    ///
    /// When there is a signature that is not good, or none, or a store does not answer.
    pub(crate) async fn verify(
        &self,
        contents: &Contents,
        context: &Context,
    ) -> Result<Vec<ReleaseSignature>> {
        let verified = async {
            let Some(config) = &contents.verification else {
                return self.unsigned("its payload does not say by which keys", context);
            };
            if let Some(signatures) = self.signatures(config, contents.root).await? {
                return Ok(signatures);
            }
            let (mut signatures, mut without) = (Vec::new(), Vec::new());
            for child in &contents.children {
                match self.signatures(config, *child).await? {
                    Some(found) => signatures.extend(found),
                    None => without.push(child.to_string()),
                }
            }
            if signatures.is_empty() {
                return self.unsigned("no store has a signature of it", context);
            }
            if !without.is_empty() {
                let message = format!(
                    "Nobody vouches for all of the release {}: images of its list are signed, \
                     and not {}",
                    self.release,
                    without.join(", ")
                );
                return Err(Error::new(Class::NotAuthenticated, message));
            }
            Ok(signatures)
        };
        tokio::select! {
            verified = verified => verified,
            () = context.cancel.cancelled() => Err(Error::interrupted()),
        }
    }

    /// Good signatures over one manifest; `None` when every store says that it has none at all.
    async fn signatures(
        &self,
        config: &VerificationConfig,
        digest: Digest,
    ) -> Result<Option<Vec<ReleaseSignature>>> {
        let configured = Store::configured(config);
        let stores = match self.verification.stores.as_slice() {
            [] => configured.as_slice(),
            named => named,
        };
        let Verification {
            client, trust, now, ..
        } = self.verification;
        match signatures::verify_release(client, stores, &digest, config, trust, *now).await {
            Ok(signed) => {
                let messages = signed.signatures.into_iter();
                let over = |message| ReleaseSignature {
                    over: digest,
                    message,
                };
                Ok(Some(messages.map(over).collect()))
            }
            Err(_) if signatures::is_absent(client, stores, &digest).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unsigned(&self, why: &str, context: &Context) -> Result<Vec<ReleaseSignature>> {
        let release = self.release;
        if self.verification.allow_unsigned {
            context.warn(format!(
                "{release} is UNSIGNED and accepted as it is: {why}"
            ));
            return Ok(Vec::new());
        }
        let message = format!("Nobody vouches for the release {release}: {why}");
        Err(Error::new(Class::NotAuthenticated, message)
            .hint("--signature-store names another place to look for signatures")
            .hint("--allow-unsigned-release carries it all the same, and the bundle says so"))
    }
}
