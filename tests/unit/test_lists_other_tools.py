"""Lists of other tools: what is taken of them, and that nothing they ask for is missing in silence."""

from pathlib import Path

import pytest

from airgap.cli.options.inputs import read_lists
from airgap.errors import UsageError
from airgap.lists import Entry, RegistrySettings, Selection, Wishes, parse_list
from airgap.lists.placed import by_name
from airgap.lists.templatevalues import parse_values

HAULER = "apiVersion: content.hauler.cattle.io/v1\nkind: %s\nspec:\n"
ZARF = "kind: ZarfPackageConfig\ncomponents:\n- name: a\n"
OC_MIRROR = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\nmirror:\n"


def parsed(text: str, **values: str) -> Wishes:
    return parse_list(text.encode(), "list", values=values)


def without(text: str, **values: str) -> Wishes:
    return parse_list(text.encode(), "list", values=values, allows_left_out=True)


def mistakes(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    error = caught.value
    return f"{error.where}: {error.what}\n{error.got}\n{error.hint}"


def shown(wishes: Wishes) -> list[str]:
    return [
        f"{wish.reference if isinstance(wish, Entry) else f'{wish.repository} {wish.rule}'}"
        + "".join(f" {platform}" for platform in wish.platforms)
        for wish in wishes.wanted
    ]


# -- what is left out


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        (
            f"{HAULER % 'Images'}  images: [{{name: a/b:1}}]\n---\n{HAULER % 'ImageTxts'}  x: [{{path: x}}]\n",
            "list:7: left out: kind: ImageTxts",
        ),
        (
            f"{HAULER % 'Images'}  images: [{{name: a/b:1}}]\n---\n{HAULER % 'Charts'}"
            "  charts: [{name: ./x, version: 1.0.0}]\n",
            "list:9: left out: chart ./x 1.0.0",
        ),
        (f"{HAULER % 'Images'}  images: [{{name: a/b:1}}, {{name: c, local: true}}]\n", "list:4: left out: c of the local engine"),
        (ZARF + "  images: [a/b:1]\n  repos: ['ssh://git.example/x']\n", "list:5: left out: git repository ssh://git.example/x"),
        (ZARF + "  images: [a/b:1]\n  import: {path: ../b}\n", "list:5: left out: import: (components of another package)"),
        (ZARF + "  images: [a/b:1]\n  novelty: [x]\n", "list:5: left out: novelty: of a component"),
        (ZARF + "  images: [a/b:1, 'a/c:###ZARF_PKG_TMPL_V###']\n", "list:4: left out: a/c:###ZARF_PKG_TMPL_V###: V has no value"),
        (OC_MIRROR + "  additionalImages: [{name: a/b:1}]\n  operators: [{catalog: x}]\n", "list:5: left out: operators:"),
        (
            "sync:\n- {source: a/b:1, target: c, type: image}\n- {source: d.example, target: c, type: registry}\n",
            "list:3: left out: registry d.example",
        ),
        (
            "sync:\n- {source: a/b:1, target: c, type: image}\n- {source: 'ocidir://x:1', target: c, type: image}\n",
            "list:3: left out: image ocidir://x:1",
        ),
        (
            """sync:\n- {source: a/b:1, target: c, type: image}\n- {source: 'a/c:{{env "V"}}', target: c, type: image}\n""",
            'list:3: left out: a/c:{{env "V"}}: V has no value',
        ),
        ("x: {image: a/b:1, script: [x]}\ninclude: [other.yml]\n", "list:2: left out: include: (other files)"),
        ("x: {image: a/b:1, script: [x]}\ny: {image: 'a/c:$V', script: [x]}\n", "list:2: left out: a/c:$V: V has no value"),
        (
            "x: {image: a/b:1, script: [x]}\ny: {image: !reference [.z, image], script: [x]}\n",
            "list:2: left out: an image that the file takes from elsewhere",
        ),
        ("releases:\n- {chart: 'oci://r.example/a/b', version: 1.0.0}\n- {chart: ./local}\n", "list:3: left out: chart ./local"),
        ("bases: [x]\nreleases:\n- {chart: 'oci://r.example/a', version: 1.0.0}\n", "list:1: left out: bases: (other files)"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_stops_unless_the_operator_goes_on_without_it(text: str, left_out: str) -> None:
    said = mistakes(text)
    assert "--allow-left-out continues without it" in said or "correct them" in said
    found = without(text)
    assert found.left_out == (left_out,)
    assert [wish.repository.path for wish in found.wanted if isinstance(wish, Selection)] == []
    assert len(found.wanted) == 1


def test_a_file_of_which_nothing_can_be_carried_stands_beside_others_but_not_alone(tmp_path: Path) -> None:
    files, images = tmp_path / "tools.yaml", tmp_path / "images.yaml"
    files.write_text(f"{HAULER % 'ImageTxts'}  x: [{{path: x}}]\n")
    images.write_text(f"{HAULER % 'Images'}  images: [{{name: a/b:1}}]\n")
    found = read_lists([str(files), str(images)], (), by_name, allows_left_out=True)
    assert isinstance(found, Wishes)
    assert (len(found.wanted), len(found.left_out)) == (1, 1)
    with pytest.raises(UsageError, match="nothing that the lists ask for is carried") as caught:
        read_lists([str(files)], (), by_name, allows_left_out=True)
    assert "left out: kind: ImageTxts" in caught.value.got


# -- written like what real repositories have (docs/lists.md, "Tried on real files")


def test_a_line_of_a_list_for_docker_pull_may_say_its_platform() -> None:
    text = "--platform=linux/arm64 team/app:1\n--platform linux/amd64   base:2 # why\n"
    assert shown(parsed(text)) == ["docker.io/team/app:1 linux/arm64", "docker.io/library/base:2 linux/amd64"]
    assert "not a valid platform" in mistakes("--platform=arm64 app:1\n")


@pytest.mark.parametrize("line", ["--platform=linux/arm64\n", "--all a/b:1\n"])
def test_other_options_of_such_a_line_are_mistakes(line: str) -> None:
    assert "not a valid image reference" in mistakes(line)


def test_a_variable_in_a_manifest_has_the_value_that_is_given_or_is_left_out() -> None:
    text = HAULER % "Images" + "  images: [{name: 'r.example/a:v${A_VERSION}'}, {name: b/c:1}]\n"
    assert shown(parsed(text, A_VERSION="1.2")) == ["r.example/a:v1.2", "docker.io/b/c:1"]
    assert "A_VERSION has no value" in mistakes(text)
    assert shown(without(text)) == ["docker.io/b/c:1"]


def test_a_template_is_told_to_be_one_and_not_to_have_anchors() -> None:
    text = "templates:\n  a: &a {x: 1}\nreleases:\n- chart: r/c\n  installed: {{ eq .E.Name `x` | toYaml }}\n  <<: *a\n"
    assert "it is a template: render it first" in mistakes(text)
    assert "anchors" not in mistakes(text)


def test_a_helmfile_that_only_names_others_is_one() -> None:
    assert "helmfiles: (other files) is not carried" in mistakes("bases: [e.yaml]\nhelmfiles: [a.yaml, b.yaml]\n")


def test_what_a_hidden_job_has_in_an_images_place_need_not_be_one() -> None:
    text = ".base: {image: {name: _, entrypoint: [x]}}\nbuild: {image: a/b:1, script: [x]}\n"
    found = parsed(text)
    assert shown(found) == ["docker.io/a/b:1"]
    assert found.notices == ("list:1: _ is no image; the job is hidden",)
    assert "not a valid image reference" in mistakes("build: {image: _, script: [x]}\n")


def test_what_is_left_out_of_several_documents_is_told_for_each() -> None:
    text = (
        f"{HAULER % 'Images'}  images: [{{name: a/b:1}}]\n---\n{HAULER % 'ThickCharts'}  x: 1\n---\n{HAULER % 'ImageTxts'}  x: 1\n"
    )
    assert without(text).left_out == ("list:7: left out: kind: ThickCharts", "list:12: left out: kind: ImageTxts")


# -- charts


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("version: 1.2.3", "r.example/a/x:1.2.3"),
        ("version: v1.2.3-rc.1", "r.example/a/x:v1.2.3-rc.1"),
        ("version: 1.2.3+build.7", "r.example/a/x:1.2.3_build.7"),
        ("version: ^1.2", "r.example/a/x semver ^1.2; newest 1"),
        ("version: '1.2'", "r.example/a/x semver 1.2; newest 1"),
        ("add-images: false", "r.example/a/x semver *; newest 1"),
    ],
)
def test_a_chart_in_a_registry_is_carried_by_its_version_or_the_newest_in_its_range(version: str, wanted: str) -> None:
    text = f"{HAULER % 'Charts'}  charts:\n  - {{name: x, repoURL: 'oci://r.example/a', {version}}}\n"
    assert shown(parsed(text)) == [wanted]


@pytest.mark.parametrize("text", ["oci://r.example/a/x:1.2.3+b\n", "images: ['oci://r.example/a/x:1.2.3+b']\n"])
def test_an_artifact_is_listed_as_helm_writes_it(text: str) -> None:
    assert shown(parsed(text)) == ["r.example/a/x:1.2.3_b"]


def test_images_that_a_chart_would_bring_along_are_told() -> None:
    text = f"{HAULER % 'Charts'}  charts: [{{name: x, repoURL: 'oci://r.example/a', version: 1.0.0, add-images: true}}]\n"
    assert "the images of chart x is not carried" in mistakes(text)
    assert without(text).left_out == ("list:4: left out: the images of chart x",)


@pytest.mark.parametrize("name", ["artifacthub.io/images", "helm.sh/images", "images"])
def test_the_images_in_the_annotations_of_a_chart(name: str) -> None:
    text = f"apiVersion: v2\nname: x\nversion: 1.0.0\nannotations:\n  {name}: |\n    - {{name: a, image: a/b:1}}\n    - c/d:2\n"
    assert shown(parsed(text)) == ["docker.io/a/b:1", "docker.io/c/d:2"]


@pytest.mark.parametrize("inside", ["a: b", "[{name: a}]", "- [", "- "])
def test_annotations_that_name_no_image_are_a_mistake(inside: str) -> None:
    text = f"apiVersion: v2\nname: x\nversion: 1.0.0\nannotations: {{images: '{inside}'}}\n"
    assert "list:4:23: images:" in mistakes(text)


def test_a_chart_without_annotations_says_how_its_images_are_found() -> None:
    assert "airgap discover" in mistakes("apiVersion: v2\nname: x\nversion: 1.0.0\n")


# -- each kind


def test_zarf_fills_templates_and_narrows_to_the_architecture_of_the_component() -> None:
    text = (
        "kind: ZarfPackageConfig\nmetadata: {architecture: amd64}\ncomponents:\n"
        "- name: a\n  images: ['a/b:###ZARF_PKG_TMPL_V###-###ZARF_PKG_ARCH###']\n"
        "- name: b\n  only: {cluster: {architecture: arm64}}\n  images: [a/c:1]\n"
        "  charts: [{name: x, url: 'oci://r.example/x', version: 1.0.0, namespace: y, valuesFiles: [v.yaml]}]\n"
    )
    wanted = ["docker.io/a/b:7-amd64 linux/amd64", "docker.io/a/c:1 linux/arm64", "r.example/x:1.0.0"]
    assert shown(parsed(text, V="7")) == wanted


def test_zarf_packages_that_a_script_fills_in_first_take_the_values_too() -> None:
    text = "kind: ZarfPackageConfig\ncomponents:\n- name: a\n  images: ['${IMAGE_REF}', 'a/b:${TAG}-###ZARF_PKG_TMPL_V###']\n"
    assert shown(parsed(text, IMAGE_REF="a/c:1", TAG="2", V="3")) == ["docker.io/a/c:1", "docker.io/a/b:2-3"]
    assert without(text).left_out == (
        "list:4: left out: ${IMAGE_REF}: IMAGE_REF has no value",
        "list:4: left out: a/b:${TAG}-###ZARF_PKG_TMPL_V###: TAG has no value",
    )


def test_zarfs_git_repositories_are_named_by_where_they_are_and_taken_whole_without_a_ref() -> None:
    found = parsed(
        ZARF
        + "  repos: ['https://git.example/a/x.git', 'https://git.example/b/x.git@v1.2', 'https://git.example/x@refs/heads/a/b']\n"
    )
    assert [(str(wish.reference), wish.source) for wish in found.wanted if isinstance(wish, Entry)] == [
        ("airgap.local/gits/git.example/a/x:latest", "git:https://git.example/a/x.git#ref=*"),
        ("airgap.local/gits/git.example/b/x:v1.2", "git:https://git.example/b/x.git#ref=v1.2"),
        ("airgap.local/gits/git.example/x:a-b", "git:https://git.example/x#ref=refs/heads/a/b"),
    ]


def test_zarfs_second_version_names_images_and_charts_by_mappings() -> None:
    text = (
        "apiVersion: zarf.dev/v1beta1\nkind: ZarfPackageConfig\ncomponents:\n- name: a\n  optional: true\n"
        "  selector: {architecture: arm64}\n  images: [{name: a/b:1}, {name: a/c:1, source: daemon}]\n"
        "  charts:\n  - {name: x, oci: {url: 'oci://r.example/x', ref: {tag: 1.0.0+1}}}\n"
        "  - {name: y, git: {url: 'https://c.example'}}\n  repositories: [{url: 'https://g.example'}]\n"
    )
    found = without(text)
    assert shown(found) == ["docker.io/a/b:1 linux/arm64", "r.example/x:1.0.0_1"]
    assert found.left_out == (
        "list:11: left out: repositories: of a component",
        "list:7: left out: a/c:1 of the local engine",
        "list:10: left out: chart y (git:)",
    )


def test_values_come_from_a_flat_file_or_zarfs_own_configuration() -> None:
    assert parse_values(b"V: 1\nweb: '2'\n", "v") == {"V": "1", "web": "2", "WEB": "2"}
    assert parse_values(b"package: {create: {set: {v: 1.10}}}\n", "v") == {"v": "1.10", "V": "1.10"}


@pytest.mark.parametrize("raw", [b"", b"- a\n", b"a: [1]\n", b"\xff\n", b"a: 1\n---\nb: 2\n"])
def test_values_that_are_no_mapping_of_single_values_are_a_mistake(raw: bytes) -> None:
    with pytest.raises(UsageError):
        parse_values(raw, "v")


def test_regsync_matches_whole_tags_and_takes_what_any_of_its_sets_takes() -> None:
    text = (
        "version: 1\nsync:\n- source: q.example/a\n  target: t\n  type: repository\n  platforms: [linux/amd64]\n"
        "  tagSets: [{allow: [v1], deny: [v1]}, {semverRange: ['>=2.0', '<1.0']}]\n"
    )
    first, second = parsed(text).wanted
    assert isinstance(first, Selection)
    assert isinstance(second, Selection)
    assert not first.rule.holds("v1")
    assert not first.rule.holds("v10")
    assert (second.rule.holds("2.1.0"), second.rule.holds("0.9.0"), second.rule.holds("1.5.0")) == (True, True, False)
    assert [str(platform) for platform in first.platforms] == ["linux/amd64"]


def test_regsyncs_logins_are_for_their_registry_and_never_shown() -> None:
    text = "creds: [{registry: q.example, user: u, pass: hunter2, tls: insecure}]\nsync: [{source: q.example/a:1, type: image}]\n"
    assert parsed(text).registries == (RegistrySettings("q.example", "list:1", False, None, "u", "hunter2"),)
    broken = mistakes(text.replace("tls:", "tsl:"))
    assert "an unknown key" in broken
    assert "hunter2" not in broken


@pytest.mark.parametrize("platforms", ["[{os: linux, architecture: arm64}]", "[{os: linux}]"])
def test_oc_mirrors_platforms_of_an_image(platforms: str) -> None:
    text = OC_MIRROR + f"  additionalImages: [{{name: a/b:1, platforms: {platforms}}}]\n"
    if "architecture" in platforms:
        assert shown(parsed(text)) == ["docker.io/a/b:1 linux/arm64"]
    else:
        assert "not a valid platform" in mistakes(text)


def test_oc_mirror_reads_keys_in_upper_and_lower_case_alike() -> None:
    images = "  - NAME: a/b:1\n  - Name: a/c:1\n    Platforms: [{OS: linux, Architecture: arm64}]\n"
    text = f"{OC_MIRROR}  additionalimages:\n{images}"
    assert shown(parsed(text)) == ["docker.io/a/b:1", "docker.io/a/c:1 linux/arm64"]
    with pytest.raises(UsageError, match="an unknown key"):
        parsed(f"{OC_MIRROR}  additionalImages: [{{name: a/b:1, NAME: a/c:1}}]\n")


def test_a_platform_may_have_the_kernels_name_of_it() -> None:
    text = "--platform=linux/x86_64 a/b:1\n--platform linux/AARCH64 a/c:1\n"
    assert shown(parsed(text)) == ["docker.io/a/b:1 linux/amd64", "docker.io/a/c:1 linux/arm64"]


def test_oc_mirrors_blocked_images_are_taken_out_and_told() -> None:
    text = OC_MIRROR + "  additionalImages: [{name: a/b:1}, {name: a/c:1}]\n  blockedImages: [{name: 'a/c.*'}]\n"
    found = parsed(text)
    assert shown(found) == ["docker.io/a/b:1"]
    assert found.notices == ("list:4: docker.io/a/c:1 is not carried: it is under blockedImages:",)


def test_gitlabs_variables_may_refer_to_each_other_and_a_value_given_wins() -> None:
    text = "variables: {R: 'r.example/$P', P: team, T: {value: '1', description: x}}\nj: {image: '${R}/a:$T', script: [x]}\n"
    assert shown(parsed(text)) == ["r.example/team/a:1"]
    assert shown(parsed(text, T="2")) == ["r.example/team/a:2"]


def test_gitlabs_variables_that_refer_to_themselves_end() -> None:
    said = mistakes("variables: {A: '$B$B', B: '$A$A'}\nj: {image: 'a:$A', script: [x]}\n")
    assert "not a valid image reference" in said


def test_aliases_are_read_in_what_other_tools_users_write_and_stay_mistakes_in_our_lists() -> None:
    assert shown(parsed("x-a: &a {type: image, target: c}\nsync:\n- {<<: *a, source: a/b:1}\n")) == ["docker.io/a/b:1"]
    assert "anchors and aliases" in mistakes("images: [&a a/b:1, *a]\n")
