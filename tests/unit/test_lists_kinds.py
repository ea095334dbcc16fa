"""Foreign lists: what is taken of each kind, what is said, what is refused, and every mistake with its place."""

from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.lists import Entry, RegistrySettings, Selection, Wishes, merge_wishes, parse_list

DIGEST = "sha256:" + "1" * 64
SAMPLES = Path(__file__).resolve().parents[2] / "samples/lists"

HAULER = "apiVersion: content.hauler.cattle.io/v1\nkind: Images\nspec:\n  images:\n"
OC_MIRROR = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\nmirror:\n"
IMGPKG = "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n"


def parsed(text: str, name: str = "list.yaml") -> Wishes:
    return parse_list(text.encode(), name)


def mistake(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    return caught.value


def shown(wishes: Wishes) -> list[str]:
    return [str(one.reference) if isinstance(one, Entry) else f"{one.repository}: {one.rule}" for one in wishes.wanted]


@pytest.mark.parametrize(
    ("name", "wanted", "notices"),
    [
        (
            "skopeo-sync.yaml",
            [
                "localhost:5000/tools/migrate: any tag",
                "localhost:5000/edge/agent:0.9",
                "localhost:5000/shop/api@sha256:a15f8ac201769b3960b509b3157123f9331b38401fb0ba8b3042b16ea1be2bf4",
                r"localhost:5000/shop/web: regex ^1\.0$",
                "localhost:5000/shop/api: semver >= 2.0, < 3",
            ],
            [],
        ),
        (
            "hauler.yaml",
            ["localhost:5000/shop/web:1.0", "localhost:5000/shop/api:2.1", "localhost:5000/edge/agent:0.9"],
            ["hauler.yaml:10: key: is not used here: signatures are carried and checked against the policy.json of the site"],
        ),
        (
            "imageset-config.yaml",
            ["localhost:5000/shop/web:1.0", "localhost:5000/tools/migrate:3.4"],
            ["imageset-config.yaml:3: archiveSize: is not used here: use export --volume-size"],
        ),
        (
            "imageset-config-v1.yaml",
            ["localhost:5000/shop/api:2.1"],
            ["imageset-config-v1.yaml:4: storageConfig: is not used here: airgap keeps its own state (--state)"],
        ),
        (
            "images-lock.yaml",
            [
                "localhost:5000/shop/web@sha256:faf689e43ea972467f21e576a8cc47745327e3a9a194cc4c96b3ae269c7286ae",
                "localhost:5000/tools/migrate@sha256:847dc0d7869a745d7a1fcae5c5307f10d78086f7b1e4bf83d32105e275c25fda",
            ],
            [],
        ),
        (
            "zarf.yaml",
            ["localhost:5000/shop/web:1.0", "localhost:5000/shop/api:2.1", "localhost:5000/edge/agent:0.9"],
            [],
        ),
        (
            "regsync.yml",
            ["localhost:5000/shop/web:1.0", r"localhost:5000/shop/api: regex ^(?:2\..*)$; exclude-regex ^(?:.*-rc.*)$"],
            [],
        ),
        (
            "gitlab-ci.yml",
            [
                "localhost:5000/shop/api:2.1",
                "localhost:5000/shop/api:2.1",
                "localhost:5000/edge/agent:0.9",
                "localhost:5000/shop/web:1.0",
            ],
            [],
        ),
        ("Chart.yaml", ["localhost:5000/shop/web:1.0", "localhost:5000/shop/api:2.1"], []),
        (
            "helmfile.yaml",
            ["localhost:5000/charts/web:1.4.0", "localhost:5000/charts/api: semver ~2.1; newest 1"],
            [
                "helmfile.yaml:8: the images that the chart needs are not known from here (airgap discover)",
                "helmfile.yaml:11: the images that the chart needs are not known from here (airgap discover)",
            ],
        ),
    ],
)
def test_the_sample_of_each_kind_asks_for_what_it_shows(name: str, wanted: list[str], notices: list[str]) -> None:
    found = parse_list((SAMPLES / name).read_bytes(), name)
    assert shown(found) == wanted
    assert list(found.notices) == notices


def test_skopeo_settings_come_out_as_data() -> None:
    text = """
registry.example.com:
  images: {busybox: [], redis: [1.10, "2.0"], empty: }
  credentials: {username: john, password: 12345}
  tls-verify: true
  cert-dir: /home/john/certs
quay.io/team:
  tls-verify: no
  images: {etcd: [latest]}
docker.io:
  images: {alpine: ["3"]}
"""
    found = parsed(text)
    assert shown(found) == [
        "registry.example.com/busybox: any tag",
        "registry.example.com/redis:1.10",
        "registry.example.com/redis:2.0",
        "registry.example.com/empty: any tag",
        "quay.io/team/etcd:latest",
        "docker.io/library/alpine:3",
    ]
    assert found.registries == (
        RegistrySettings("registry.example.com", "list.yaml:2", True, Path("/home/john/certs"), "john", "12345"),
        RegistrySettings("quay.io/team", "list.yaml:7", tls_verify=False),
    )
    assert found.registries[1].host == "quay.io"
    assert "12345" not in repr(found)


def test_a_registry_without_images_is_said() -> None:
    assert parsed("quay.io: {tls-verify: false}\nghcr.io: {images: {a/b: [x]}}\n").notices == (
        "list.yaml:1: no images are listed for this registry",
    )


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "quay.io", '"[::1]:5000"', "127.0.0.1:5000"])
def test_skopeo_yaml_is_told_by_its_content(host: str) -> None:
    assert len(parsed(f"{host}:\n  images:\n    a: [x]\n").wanted) == 1


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("quay.io:\n  images:\n    a/B: [x]\n", "3:5", "lower case"),
        ("quay.io:\n  images:\n    a: [a b]\n", "3:9", "letters"),
        ("quay.io:\n  images:\n    a: [sha256:12]\n", "3:9", "sha256:<64"),
        ("quay.io:\n  images:\n    a: x\n", "3:8", "a list"),
        ("quay.io:\n  images:\n    a: [true]\n", "3:9", "a tag or a digest"),
        ("quay.io:\n  images: [a]\n", "2:11", "a mapping"),
        ("quay.io:\n  image: {a: [x]}\n", "2:3", "images-by-tag-regex"),
        ("quay.io:\n  images-by-tag-regex: {a: '('}\n", "2:28", "RE2"),
        ("quay.io:\n  images-by-semver: {a: 'new'}\n", "2:25", "^1.2"),
        ("quay.io:\n  images: {a:1: [x]}\n", "2:12", "without tag"),
        ("quay.io:\n  tls-verify: maybe\n  images: {a: [x]}\n", "2:15", "true or false"),
        ("quay.io:\n  cert-dir: [x]\n  images: {a: [x]}\n", "2:13", "a directory"),
        ("Quay/IO:\n  images: {a: [x]}\n", "1:1", "HOST[:PORT]"),
        ("quay.io:\n  images: {a: [x]}\nquay.io:\n  images: {b: [x]}\n", "3:1", "once"),
        (HAULER + "    - {name: A}\n", "5:14", "lower case"),
        (HAULER + "    - {platform: linux/amd64}\n", "5:7", "name:"),
        (HAULER + "    - {name: a, platform: amd64}\n", "5:27", "linux/arm64"),
        (HAULER + "    - {name: a, plaftorm: linux/amd64}\n", "5:17", "platform"),
        (HAULER + "    - a\n", "5:7", "a mapping"),
        (HAULER.replace("Images", "ImageTxts") + "    - {path: x}\n", "2:7", "kind: ImageTxts is not carried"),
        (HAULER.replace("Images", "Charts").replace("images", "charts") + "    - {name: x}\n", "5:14", "chart x is not carried"),
        (HAULER.replace("/v1", "/v9") + "    - {name: x}\n", "1:13", "content.hauler.cattle.io/v1"),
        (HAULER.replace("spec:\n  images:\n", "spec: {}\n"), "1:1", "spec: with images:"),
        (HAULER + "    - {name: a}\nmetadata: {annotations: {hauler.dev/platform: all}}\n", "6:47", "linux/arm64"),
        (HAULER + "    - {name: a}\nmetadata: {annotations: {hauler.dev/registry: hub}}\n", "6:47", "HOST[:PORT]"),
        (
            OC_MIRROR + "  operators:\n  - catalog: x\n  additionalImages: [{name: a}]\n",
            "4:3",
            "operators: is not carried by airgap",
        ),
        (OC_MIRROR + "  platform: {graph: true}\n  additionalImages: [{name: a}]\n", "4:3", "platform: is not carried by airgap"),
        (OC_MIRROR + "  helm: {local: [x]}\n", "4:3", "helm: is not carried by airgap"),
        (OC_MIRROR + "  additionalImages: [{name: A}]\n", "4:29", "docker.io/library/nginx"),
        (OC_MIRROR + "  additionalImages: [{nam: a}]\n", "4:23", "targetRepo"),
        (OC_MIRROR + "  additionalImages: nginx\n", "4:21", "a list"),
        (OC_MIRROR + "  operator: []\n", "4:3", "additionalImages"),
        (OC_MIRROR.replace("v2alpha1", "v3"), "2:13", "v1alpha2"),
        (IMGPKG + "- image: nginx:1\n", "4:10", "sha256:"),
        (IMGPKG + f"- url: nginx@{DIGEST}\n", "4:3", "image or annotations"),
        (IMGPKG + f"- nginx@{DIGEST}\n", "4:3", "a mapping"),
        (IMGPKG.replace("images:\n", "spec: {images: []}\n"), "3:1", "images"),
        ("apiVersion: v0\nkind: ImagesLock\nimages: []\n", "2:7", "ImagesLock (imgpkg)"),
        ("apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "2:7", "hauler"),
    ],
)
def test_a_mistake_in_a_foreign_list_names_its_place_and_what_was_expected(text: str, place: str, says: str) -> None:
    error = mistake(text)
    lines = error.got.split("\n") if "mistakes in" in error.what else [f"{error.where}: {error.what} {error.expected}"]
    assert any(says in line for line in lines if line.startswith(f"list.yaml:{place}: ")), lines


def test_kubernetes_manifests_are_shown_the_way_to_discover() -> None:
    assert "discover" in mistake("apiVersion: v1\nkind: Pod\n").hint


@pytest.mark.parametrize(
    "credentials",
    [
        "canary",
        "[canary]",
        "{username: john, password: [canary]}",
        "{username: john, password: {canary: canary}}",
        "{username: john, password: true, canary: canary}",
        "{username: john, password: canary, password: canary}",
        "{[canary]: canary}",
        "{username: john}\n  canary: canary",
        "{username: john, password: 'canary'\n  tls-verify: x}",
        "{username: john, password: *canary}",
        "{username: john, password: &canary x}",
        "{username: john, password: !canary x}",
        '{username: john, password: "\\canary"}',
    ],
)
def test_a_mistake_around_credentials_does_not_show_them(credentials: str) -> None:
    error = mistake(f"quay.io:\n  images: {{a: [x]}}\n  credentials: {credentials}\n")
    told = str(error).replace("canary: canary", "")
    assert "list.yaml:" in told
    assert "canary" not in told or "unknown key" in told


def test_two_lists_of_one_mind_about_a_registry_are_joined_and_others_are_refused() -> None:
    def listed(settings: str, registry: str = "quay.io") -> Wishes:
        return parsed(f"{registry}: {{images: {{a: [x]}}, {settings}}}\n")

    login = "credentials: {username: john, password: canary-one}"
    same = merge_wishes([listed(f"{login}, tls-verify: false"), listed(f"{login}, tls-verify: false")])
    assert len(same.registries) == len(same.wanted) == 1
    paths = merge_wishes([listed(login, "quay.io/one"), listed(login.replace("john", "mary"), "quay.io/two")])
    assert [one.username for one in paths.registries] == ["john", "mary"]
    for other in (login.replace("one", "two"), "tls-verify: true", "cert-dir: /x"):
        with pytest.raises(UsageError) as caught:
            merge_wishes([listed(f"{login}, tls-verify: false"), listed(other)])
        assert "canary" not in str(caught.value)
        assert "list.yaml:1 and list.yaml:1" in caught.value.where


def test_hauler_annotations_give_registry_and_platform_and_the_rest_is_said() -> None:
    text = HAULER + "    - {name: a}\n    - {name: docker.io/b, platform: linux/arm64, rewrite: c}\n"
    text += (
        "metadata: {annotations: {hauler.dev/registry: quay.io, hauler.dev/platform: linux/amd64, hauler.dev/key: k, other: x}}\n"
    )
    found = parsed(text)
    assert shown(found) == ["quay.io/a:latest", "docker.io/library/b:latest"]
    assert [str(wish.platforms[0]) for wish in found.wanted] == ["linux/amd64", "linux/arm64"]
    assert sorted(notice.split(": ")[1] for notice in found.notices) == ["key", "rewrite"]


def test_empty_sections_of_oc_mirror_ask_for_nothing() -> None:
    sections = "  operators: []\n  helm: {}\n  platform:\n  additionalImages: [{name: 'docker://a:1', targetTag: x}]\n"
    found = parsed(OC_MIRROR + sections)
    assert shown(found) == ["docker.io/library/a:1"]
    assert "targetTag" in found.notices[0]


def test_documents_of_several_kinds_in_one_file_are_joined() -> None:
    documents = (
        HAULER + "    - {name: a}\n",
        IMGPKG + f"- image: b@{DIGEST}\n",
        "quay.io: {images: {c: [x]}}\n",
        "images: [d]\n",
        "\n",
    )
    assert len(parsed("---\n".join(documents)).wanted) == 4


def test_every_wish_knows_its_line() -> None:
    found = parsed(
        "images:\n- a\n- name: b\n  tags: {regex: x}\n---\nquay.io:\n  images:\n    c:\n      - x\n  images-by-semver: {d: '*'}\n"
    )
    assert [wish.origin for wish in found.wanted] == [f"list.yaml:{line}" for line in (2, 3, 9, 10)]
    assert isinstance(found.wanted[1], Selection)


def test_the_example_of_the_documentation_is_a_list() -> None:
    text = (SAMPLES.parents[1] / "docs/lists.md").read_text()
    assert len(parsed(text.partition("```yaml\n")[2].partition("```")[0]).wanted) == 4


@pytest.mark.parametrize("text", ["fedora:40\n", "images: ['fedora:40']\n"], ids=["text", "yaml"])
def test_a_short_name_is_what_its_alias_says(text: str) -> None:
    found = parse_list(text.encode(), "list", expand=lambda name: name.replace("fedora", "registry.example/fedora"))
    assert [str(wish.reference) for wish in found.wanted if isinstance(wish, Entry)] == ["registry.example/fedora:40"]
