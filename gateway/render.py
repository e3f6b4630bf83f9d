"""nginx.conf from the template, the routing table and the settings."""

import os
import pwd
import re
from decimal import Decimal
from pathlib import Path

from gateway import tls
from gateway.lines import METHODS
from gateway.problems import PROBLEMS, Problem
from gateway.routes import ROUTES
from gateway.settings import GatewaySettings
from libs.contracts.media import VARIANTS
from libs.deployables import Route

TEMPLATE = Path(__file__).parent / "nginx.conf.template"
DRAINING = "draining"
CONNECTIONS = 100  # of one address with a request in progress: sixteen browsers with six each
_PLACE = re.compile(r"<<(\w+)>>")
_UNQUOTABLE = re.compile(r'["\\$\x00-\x1f]')


def render(settings: GatewaySettings, folder: Path) -> str:
    """Return the configuration.

    Args:
        settings: addresses and folders.
        folder: where the configuration will stand; state and docs lie below it unless settings say otherwise.

    Raises:
        ValueError: nginx can't quote the name of a folder.
    """
    state_dir = (settings.gateway_state_dir or folder).absolute()
    docs_dir = (settings.gateway_docs_dir or state_dir / "docs").absolute()
    values = {
        "user": _user(),
        "state": _quotable(state_dir),
        "health": _health(state_dir),
        "docs": _quotable(docs_dir),
        "listen": _listen(settings),
        "redirect": _redirect(settings, state_dir),
        "status": f"{settings.gateway_status_host}:{settings.gateway_status_port}",
        "metrics": settings.gateway_metrics_address,
        "sampled": _sampled(settings.trace_ratio),
        "methods": "|".join(METHODS),
        "variants": "|".join(VARIANTS),
        "cache_mb": str(settings.gateway_cache_mb),
        "trusted_proxies": _trusted(settings.trusted_proxies),
        "limit_conn": f"limit_conn addresses {CONNECTIONS};" if settings.rate_limits else "",
        "upstreams": "\n".join(_upstream(name, url) for name, url in settings.service_urls.items()),
        "route_names": "\n".join(f'        "~{route.pattern}" "{route.path}";' for route in ROUTES),
        "routes": "\n".join(_location(route) for route in ROUTES),
        "error_pages": "\n".join(_error_page(problem) for problem in PROBLEMS),
        "problems": "\n".join(_problem(problem) for problem in PROBLEMS),
    }
    return _PLACE.sub(lambda place: values[place[1]], TEMPLATE.read_text())


def _user() -> str:
    """Make root's nginx run its workers as root, because `nobody` can't read a folder below root's home."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""


def _listen(settings: GatewaySettings) -> str:
    """The address of the server with all routes, and its certificate if it has one. Raises ValueError."""
    if not (settings.gateway_tls_cert and settings.gateway_tls_key):
        return f"listen {settings.gateway_host}:{settings.gateway_port} default_server;"
    certificate, key = settings.gateway_tls_cert.absolute(), settings.gateway_tls_key.absolute()
    tls.check(certificate, key)
    return f"""listen {settings.gateway_host}:{settings.gateway_tls_port} ssl http2 default_server;
        # Plain HTTP on this port.
        error_page 497 =308 {settings.public_url}$request_uri;
{tls.directives(_quotable(certificate), _quotable(key))}"""


def _health(state_dir: Path) -> str:
    """For load balancers. The file is written before the gateway is stopped."""
    return f"""
        location = /health {{
            access_log off;
            default_type application/json;
            if (-f "{_quotable(state_dir / DRAINING)}") {{
                return 503 '{{"status": "draining"}}';
            }}
            return 200 '{{"status": "ok"}}';
        }}"""


def _redirect(settings: GatewaySettings, state_dir: Path) -> str:
    """With a certificate, the server on the plain port."""
    if not settings.gateway_tls_cert:
        return ""
    return f"""
    server {{
        listen {settings.gateway_host}:{settings.gateway_port} default_server;
{_health(state_dir)}

        location / {{
            return 308 {settings.public_url}$request_uri;
        }}
    }}
"""


def _trusted(networks: str) -> str:
    if not networks:
        return ""
    lines = [*(f"set_real_ip_from {network};" for network in networks.split(",")), "real_ip_header X-Forwarded-For;"]
    return "\n    ".join([*lines, "real_ip_recursive on;"])


def _sampled(ratio: Decimal) -> str:
    """Return the flags of a trace for `split_clients`, which knows percentages above 0 with two decimals."""
    rest = "00" if ratio < 1 else "01"
    return "\n".join([*([f"        {100 * ratio:.2f}% 01;"] if 0 < ratio < 1 else []), f"        * {rest};"])


def _quotable(path: Path) -> str:
    if _UNQUOTABLE.search(str(path)):
        raise ValueError(f"nginx can't be told of a folder named {path}")
    return str(path)


def _upstream(service: str, url: str) -> str:
    address = url.removeprefix("http://")
    return f"""
    upstream {service} {{
        server {address} max_fails=0;  # the answer is an error either way, and one refusal must not shut it for long
        keepalive 64;
        keepalive_timeout 60s;  # shorter than the services' 75 s, else a POST may meet a connection that just closed
    }}"""


_HANDLING = {
    "json": "",
    "account": """
            client_max_body_size 8k;""",
    "upload": """
            client_max_body_size 11m;  # an image of 10 MB, and the form around it
            proxy_request_buffering off;
            set $deadline_ms "";  # as long as the client takes to send it
            client_body_timeout 60s;  # the service is stricter, and says 408
            proxy_read_timeout 60s;""",
    "cached": """
            proxy_cache media;
            proxy_cache_key $uri;
            proxy_force_ranges on;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 5s;
            proxy_cache_revalidate on;
            proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
            # A cached answer must not depend on who asked first, nor on the query.
            set $args "";
            set $authorization "";
            set $cookie "";
            set $api_key "";
            set $origin "";""",
}


def _location(route: Route) -> str:
    return f"""
        location ~ "{route.pattern}" {{{_HANDLING[route.handling]}
            proxy_pass http://{route.service};
        }}"""


def _error_page(problem: Problem) -> str:
    causes = " ".join(str(cause) for cause in problem.causes)
    return f"        error_page {causes} ={problem.kind.status} {problem.location};"


def _problem(problem: Problem) -> str:
    name = f"= {problem.location}" if problem.before_routing else problem.location
    # nginx has already added the server's headers and would add them again: one that is empty stands in for them.
    headers = '\n            add_header X-Content-Type-Options "" always;' if problem.after_headers else ""
    return f"""
        location {name} {{{headers}
            default_type application/problem+json;
            return {problem.kind.status} '{problem.body()}';
        }}"""
