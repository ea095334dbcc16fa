"""Custom resources with images under their own keys, by API group. Images of all others are only possible."""

from __future__ import annotations

from collections.abc import Iterable

from airgap.discover.findings import Sheet
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

#: The keys that hold an image wherever they stand below ``spec``, for the API groups (or what follows a dot in them).
KEYS: dict[str, frozenset[str]] = {
    group: frozenset(keys.split())
    for group, keys in {
        # monitoring and logging
        "monitoring.coreos.com": "image",
        "k8s.elastic.co": "image",
        "opentelemetry.io": "image",
        "jaegertracing.io": "image",
        "grafana.integreatly.org": "image",
        "fluentbit.fluent.io": "image",
        # databases and queues
        "postgresql.cnpg.io": "image imageName",
        "acid.zalan.do": "dockerImage docker_image logical_backup_docker_image",
        "postgres-operator.crunchydata.com": "image",
        "percona.com": "image initImage",
        "mysql.oracle.com": "image",
        "k8s.mariadb.com": "image",
        "kafka.strimzi.io": "image",
        "rabbitmq.com": "image",
        "redis.redis.opstreelabs.in": "image",
        "databases.spotahome.com": "image",
        "minio.min.io": "image",
        # build and workflows
        "tekton.dev": "image",
        "sparkoperator.k8s.io": "image",
        "flink.apache.org": "image",
        "ray.io": "image",
        "shipwright.io": "image",
        # platform
        "caching.internal.knative.dev": "image",
        "ceph.rook.io": "image",
        "k8s.keycloak.org": "image",
        "vault.banzaicloud.com": "image bankVaultsImage statsdImage fluentdImage",
        "cluster.x-k8s.io": "customImage",
        "operators.coreos.com": "image",
        "pkg.crossplane.io": "package",
        "config.openshift.io": "image",
        "projectcontour.io": "image",
        "gateway.envoyproxy.io": "image",
        "perses.dev": "image",
        "awx.ansible.com": "image",
        "imgpkg.carvel.dev": "image",
        "kpack.io": "image",
    }.items()
}

# What the Elastic operator runs for a kind and a version when the resource names no image, and it was not told another registry.
_ELASTIC = {
    "Elasticsearch": "elasticsearch/elasticsearch",
    "Kibana": "kibana/kibana",
    "Logstash": "logstash/logstash",
    "ApmServer": "apm/apm-server",
    "EnterpriseSearch": "enterprise-search/enterprise-search",
    "Agent": "elastic-agent/elastic-agent",
}
_ELASTIC_REMARK = "the default of the Elastic operator"
_MONITORING = "monitoring.coreos.com"
_MONITORS = ("Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler")
_LISTS = {
    ("content.hauler.cattle.io", "Images"): "a hauler list",
    ("mirror.openshift.io", "ImageSetConfiguration"): "an oc-mirror list",
    ("imgpkg.carvel.dev", "ImagesLock"): "an imgpkg lock",
}

# What deploys something that is not in the files, and the keys below spec that say what.
_RENDER = "render it with its values: helm template RELEASE CHART | airgap discover -"
_ELSEWHERE = {
    ("helm.toolkit.fluxcd.io", "HelmRelease"): ("a chart that Flux renders", ("chart", "chartRef"), _RENDER),
    ("helm.cattle.io", "HelmChart"): ("a chart that k3s renders", ("chart", "repo", "version"), _RENDER),
    ("source.toolkit.fluxcd.io", "GitRepository"): ("a repository that Flux deploys from", ("url",), "discover a clone of it too"),
    ("source.toolkit.fluxcd.io", "Bucket"): ("a bucket that Flux deploys from", ("bucketName",), "discover a copy of it too"),
    ("fleet.cattle.io", "GitRepo"): ("a repository that Fleet deploys from", ("repo",), "discover a clone of it too"),
    ("operators.coreos.com", "Subscription"): (
        "an operator that OLM installs from a catalog",
        ("name", "startingCSV", "channel"),
        "add the operator's bundle and the images in its relatedImages",
    ),
}


def keys_of(group: str, kind: str) -> frozenset[str]:
    """The keys that hold images in a resource of an API group; also of the group that it is below."""
    if group == _MONITORING and kind not in _MONITORS:
        return frozenset()  # a rule's labels may have any key
    while group:
        if group in KEYS:
            return KEYS[group]
        group = group.partition(".")[2]
    return frozenset()


def find_special(group: str, kind: str, root: Fields, sheet: Sheet) -> None:
    """Note the images of kinds that put them together from several keys, and of operators that choose them themselves."""
    spec = root.get("spec")
    if not isinstance(spec, Fields):
        spec = Fields(root.line)
    if group == _MONITORING:
        _prometheus(kind, spec, sheet)
    elif group.endswith("k8s.elastic.co"):
        _elastic(kind, spec, sheet)
    elif group == "upgrade.cattle.io":
        _upgrade_plan(spec, sheet)
    elif group == "source.toolkit.fluxcd.io" and kind == "OCIRepository":
        _flux(spec, sheet)
    elif (group, kind) in _ELSEWHERE:
        _elsewhere(root, *_ELSEWHERE[group, kind], sheet)
    elif group == "argoproj.io" and kind in ("Application", "ApplicationSet"):
        _argo(spec, sheet)
    elif kind == "ClusterConfiguration" or (group.endswith("cluster.x-k8s.io") and kind.startswith("KubeadmControlPlane")):
        sheet.note(root.line, "Kubernetes' own images are not listed here: run kubeadm config images list", kind)
    elif (group, kind) in _LISTS:
        sheet.note(root.line, f"{_LISTS[group, kind]} is itself an image list: give it to airgap resolve", kind)


def _prometheus(kind: str, spec: Fields, sheet: Sheet) -> None:
    """Prometheus, Alertmanager, ThanosRuler and the Thanos sidecar: the old ``baseImage`` with ``tag``, ``sha`` or ``version``."""
    thanos = spec.get("thanos")
    for part in (spec, thanos):
        if not isinstance(part, Fields):
            continue
        base = part.get("baseImage")
        if isinstance(base, Scalar) and base.text and not part.text("image"):
            sha, tag = part.text("sha"), part.text("tag") or part.text("version")
            sheet.image(base.text + (f"@sha256:{sha}" if sha else f":{tag}" if tag else ""), base.line, written=base.text)
        elif kind in _MONITORS and not part.text("image"):
            what = f"{kind} names no image: its operator selects one (see the operator's --*-default-base-image)"
            sheet.note(part.line, what, part.text("version"))


def _elastic(kind: str, spec: Fields, sheet: Sheet) -> None:
    version = spec.get("version")
    if not isinstance(version, Scalar) or not version.text or spec.text("image"):
        return
    name = _ELASTIC.get(kind, "")
    if kind == "Beat" and spec.text("type"):
        name = f"beats/{spec.text('type')}"
    elif kind == "Agent" and version.text[:2] in ("7.", "8."):
        name = "beats/elastic-agent"
    if name:
        image = f"docker.elastic.co/{name}:{version.text}"
        sheet.image(image, version.line, sure=False, remark=_ELASTIC_REMARK, written=version.text)


def _elsewhere(root: Fields, what: str, keys: tuple[str, ...], hint: str, sheet: Sheet) -> None:
    """A resource that makes the cluster deploy what is not here."""
    spec = root.get("spec")
    words = _words([spec.get(key) for key in keys] if isinstance(spec, Fields) else [])
    sheet.unresolved(root.line, what, " ".join(words), hint)


def _argo(spec: Fields, sheet: Sheet) -> None:
    """The sources of an Application, or of those that an ApplicationSet makes: charts and repositories."""
    template = spec.get("template")
    inner = template.get("spec") if isinstance(template, Fields) else spec
    found = [inner.get("source"), inner.get("sources")] if isinstance(inner, Fields) else []
    sources = [item for node in found for item in (node.items if isinstance(node, Items) else [node])]
    for source in sources:
        if isinstance(source, Fields):
            words = " ".join(_words([source.get(key) for key in ("repoURL", "chart", "path", "targetRevision")]))
            chart = source.get("chart") is not None
            what = "a chart that Argo CD renders" if chart else "a repository that Argo CD deploys from"
            sheet.unresolved(source.line, what, words, _RENDER if chart else "discover a clone of it too")


def _words(nodes: Iterable[Node | None]) -> list[str]:
    """The single values of some nodes, also of a mapping's entries and of what is below its ``spec``."""
    words = []
    for node in nodes:
        if isinstance(node, Scalar) and node.text:
            words.append(node.text)
        elif isinstance(node, Fields):
            inner = node.get("spec")
            entries = (inner if isinstance(inner, Fields) else node).entries
            words += [value.text for name, value in entries if isinstance(value, Scalar) and value.text and name != "interval"]
    return words


def _upgrade_plan(spec: Fields, sheet: Sheet) -> None:
    """A plan of the system upgrade controller; an image without a tag gets the plan's version, with ``-`` for ``+``."""
    version = spec.text("version").replace("+", "-")
    for part in (spec.get("upgrade"), spec.get("prepare")):
        image = part.get("image") if isinstance(part, Fields) else None
        if isinstance(image, Scalar):
            tagged = ":" in image.text.rpartition("/")[2] or "@" in image.text
            sheet.image(image.text if tagged or not version else f"{image.text}:{version}", image.line, written=image.text)


def _flux(spec: Fields, sheet: Sheet) -> None:
    """An OCI artifact that Flux applies: not an image, but it comes from a registry and can be carried like one."""
    url, reference = spec.get("url"), spec.get("ref")
    if isinstance(url, Scalar) and url.text.startswith("oci://"):
        tag = f":{reference.text('tag')}" if isinstance(reference, Fields) and reference.text("tag") else ""
        digest = f"@{reference.text('digest')}" if isinstance(reference, Fields) and reference.text("digest") else ""
        whole = url.text.removeprefix("oci://") + tag + digest
        sheet.image(whole, url.line, sure=False, remark="an OCI artifact that Flux applies", written=url.text)
