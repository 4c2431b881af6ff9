//! Operator catalogs in the built program: listing, export, and the objects for clusters.

mod export;
mod hostile;
mod leave_out;
mod list;
mod mapping;
mod odd;
mod provenance;
mod resources;

use crate::support::command::{Airferry, Outcome};
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::{Build, Image, publish};

const CONFIGS: &str = "operators.operatorframework.io.index.configs.v1";
const DATABASE: &str = "operators.operatorframework.io.index.database.v1";

/// A catalog with two channels of one package; `{host}` stands for a registry.
const CATALOG: &str = r#"---
schema: olm.package
name: bar
defaultChannel: stable
---
schema: olm.channel
package: bar
name: stable
entries:
- name: bar.v1.0.0
- name: bar.v1.10.0
  replaces: bar.v1.0.0
---
schema: olm.channel
package: bar
name: alpha
entries:
- name: bar.v1.10.0
---
schema: olm.bundle
package: bar
name: bar.v1.0.0
image: "{host}/bar/bundle:v1.0.0"
properties:
- type: olm.package
  value: {packageName: bar, version: 1.0.0}
relatedImages:
- {name: operator, image: "{host}/bar/operator:v1.0.0"}
---
schema: olm.bundle
package: bar
name: bar.v1.10.0
image: "{host}/bar/bundle:v1.10.0"
properties:
- type: olm.package
  value: {packageName: bar, version: 1.10.0}
relatedImages:
- {name: operator, image: "{host}/bar/operator:v1.10.0"}
- {name: "", image: ""}
"#;

/// A second package, as JSON.
const FOO: &str = r#"{"schema":"olm.package","name":"foo","defaultChannel":"beta"}
{"schema":"olm.channel","package":"foo","name":"beta","entries":[{"name":"foo.v0.1.0"}]}
{"schema":"olm.bundle","package":"foo","name":"foo.v0.1.0","image":"{host}/foo/bundle:v0.1.0",
 "properties":[{"type":"olm.package","value":{"packageName":"foo","version":"0.1.0"}}]}
"#;

/// Builds the image of a catalog from files.
fn index_image(files: &[(&str, &[u8])]) -> Build {
    Build::oci("index").label(CONFIGS, "/configs").files(files)
}

/// A registry with the catalog `ops/index:v1`, and an account that reads it.
struct Shop {
    airferry: Airferry,
    registry: DockerRegistry,
}

impl Shop {
    fn new() -> Self {
        Self {
            airferry: Airferry::new(),
            registry: DockerRegistry::start(),
        }
    }

    fn with(image: &Image) -> Self {
        let shop = Self::new();
        shop.push("ops/index", image);
        shop
    }

    fn push(&self, repository: &str, image: &Image) {
        let host = self.registry.host().to_string();
        publish::push(&host, repository, Some("v1"), image);
    }

    /// Returns the catalog's reference.
    fn index(&self) -> String {
        format!("{}/ops/index:v1", self.registry.host())
    }

    fn list(&self, more: &[&str]) -> Outcome {
        let mut command = self.airferry.command();
        command.args(["catalog", "list", &self.index()]);
        command.args(["--tls-verify=false", "--quiet"]).args(more);
        Outcome::of(command)
    }
}
