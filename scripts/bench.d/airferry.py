"""The command lines of airferry that are measured."""

import os
import subprocess


class Airferry:
    """A binary with a key, and a state directory below the work folder."""

    def __init__(self, binary, work):
        self.binary, self.key = os.path.abspath(binary), work / "exporter"
        self.trust = f"{self.key}.pub"
        # What an import remembers of earlier runs must not come from outside the measurement.
        os.environ["XDG_STATE_HOME"] = str(work / "state")
        subprocess.run([self.binary, "keygen", "--out", str(self.key)], check=True,
                       stdout=subprocess.DEVNULL)

    def command(self, *arguments):
        return [self.binary, *map(str, arguments), "-q"]

    def export(self, references, bundle, *more):
        """An export without reading back: that is a phase of its own, which `verify` measures."""
        listing = self.key.with_name("images.txt")
        listing.write_text("".join(f"{reference}\n" for reference in references))
        return self.command("export", "--images-from", listing, "--to", bundle,
                            "--key", f"{self.key}.pem", "--tls-verify=false",
                            "--read-back", "never", *more)

    def verify(self, bundle):
        return self.command("verify", bundle, "--trust", self.trust)

    def import_(self, bundle, target, *more):
        return self.command("import", bundle, "--to", target, "--trust", self.trust,
                            "--tls-verify=false", *more)
