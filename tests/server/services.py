"""A real PostgreSQL and a real MLflow server on it, on loopback, as docs/server.md sets them up."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import psycopg2

from tests.services import free_ports, install, wait_until


class Postgres:
    """A database cluster in a fresh folder; a context manager: started, then stopped and removed.

    PostgreSQL refuses to be run by root, who runs it as `postgres`.
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's are closed to others
        (self.port,) = free_ports(1)
        self.uri = f"postgresql://mlflow@127.0.0.1:{self.port}/mlflow"

    @staticmethod
    def programs() -> Path:
        """Debian keeps them off the PATH, in one folder per version."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        return Path(found[-1] if found else shutil.which("initdb") or "").parent

    def __enter__(self) -> "Postgres":
        install(["postgresql"], [] if (self.programs() / "initdb").exists() else ["initdb"])
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        try:
            data = f"--pgdata={self.folder}/data"
            self._run("initdb", data, "--auth=trust", "--username=mlflow", "--encoding=UTF8")
            self.start()
            self._run("createdb", "-h127.0.0.1", f"-p{self.port}", "--username=mlflow", "mlflow")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder}"
        self._control("start", "--wait", f"--log={self.folder}/log", f"--options={options}")

    def kill(self) -> None:
        """Without a farewell to its clients or its files, as a crash would."""
        self._control("stop", "--mode=immediate", check=False)

    def count(self, table: str) -> int:
        """Rows of an MLflow table."""
        address = {"host": "127.0.0.1", "port": self.port, "user": "mlflow", "dbname": "mlflow"}
        with psycopg2.connect(**address) as connection, connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {table}")
            return cursor.fetchone()[0]

    def _control(self, *arguments: str, check: bool = True) -> None:
        self._run("pg_ctl", f"--pgdata={self.folder}/data", *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self.programs() / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        null = subprocess.DEVNULL
        subprocess.run(command, cwd="/", stdout=null, stderr=null, check=check, timeout=60)


class MlflowServer:
    """`mlflow server` on a database; a context manager."""

    def __init__(self, database_uri: str, folder: Path):
        (port,) = free_ports(1)
        self.uri, self.folder, self.process = f"http://127.0.0.1:{port}", folder, None
        self.command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        self.command += ["--host", "127.0.0.1", "--port", str(port)]
        self.command += ["--backend-store-uri", database_uri]
        self.command += ["--artifacts-destination", str(folder / "artifacts")]

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def start(self) -> None:
        """Start and wait until it answers."""
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                env=os.environ | quiet,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self.healthy, f"the server; see {self.folder}/server.log", 120)

    def kill(self) -> None:
        """The server and its workers, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
