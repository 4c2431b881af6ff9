//! Whether somebody who is trusted vouches for a release that is about to be copied.
//!
//! Absence of signatures may be accepted. A signature that is there and not good never is.

use super::payload::Payload;
use super::signatures::{self, Store};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::model::{Digest, Reference, ReleaseSignature};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result};
use crate::registry::Client;
use crate::sys;

/// What a release must show.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The keys that count.
    pub trust: ReleaseTrust,
    /// Where signatures are looked for, instead of the stores that the payload names; these when
    /// empty.
    pub stores: Vec<Store>,
    /// Accept releases for which there is no signature.
    pub allow_unsigned: bool,
}

/// Looks for signatures of releases, and judges them.
pub(crate) struct Verifier<'a> {
    /// Reaches the stores.
    pub(crate) client: &'a Client,
    /// What a release must show.
    pub(crate) policy: &'a Policy,
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
        release: &Reference,
        payload: &Payload,
        context: &Context,
    ) -> Result<Vec<ReleaseSignature>> {
        let verified = async {
            let Some(config) = &payload.verification else {
                return self.unsigned(release, "its payload does not say by which keys", context);
            };
            if let Some(signatures) = self.signatures(config, payload.root).await? {
                return Ok(signatures);
            }
            let (mut signatures, mut without) = (Vec::new(), Vec::new());
            for child in &payload.children {
                match self.signatures(config, *child).await? {
                    Some(found) => signatures.extend(found),
                    None => without.push(child.to_string()),
                }
            }
            if signatures.is_empty() {
                return self.unsigned(release, "no store has a signature of it", context);
            }
            if !without.is_empty() {
                let message = format!(
                    "Nobody vouches for all of the release {release}: images of its list are \
                     signed, and not {}",
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
        let stores = match self.policy.stores.as_slice() {
            [] => configured.as_slice(),
            named => named,
        };
        let (client, trust, now) = (self.client, &self.policy.trust, sys::clock::now());
        match signatures::verify_release(client, stores, &digest, config, trust, now).await {
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

    fn unsigned(
        &self,
        release: &Reference,
        why: &str,
        context: &Context,
    ) -> Result<Vec<ReleaseSignature>> {
        if self.policy.allow_unsigned {
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
