"""discover: images in Kubernetes objects of every kind, in custom resources, and none where there are none."""

from __future__ import annotations

import json

import pytest

from tests.support.discovery import SHA, images, look, possible, unresolved

CONTAINERS = '{initContainers: [{image: "i:1"}], containers: [{image: "c:1"}], ephemeralContainers: [{image: "e:1"}]}'
TEMPLATE = f"{{template: {{spec: {CONTAINERS}}}}}"


def resource(kind: str, spec: str, api: str = "apps/v1", **more: str) -> str:
    extra = "".join(f"{key}: {value}\n" for key, value in more.items())
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n{extra}"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Pod", CONTAINERS),
        *((kind, TEMPLATE) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController")),
        ("CronJob", f"{{jobTemplate: {{spec: {TEMPLATE}}}}}"),
        ("Rollout", TEMPLATE),
        ("JobSet", f"{{replicatedJobs: [{{template: {{spec: {TEMPLATE}}}}}]}}"),
        ("NobodyKnowsMe", f"{{deep: {{er: [{TEMPLATE}]}}}}"),
    ],
)
def test_all_containers_of_every_workload_are_found(kind, spec):
    assert images(look(resource(kind, spec))) == ["c:1", "e:1", "i:1"]


def test_pod_template_has_no_spec_of_its_own():
    assert images(look(f"apiVersion: v1\nkind: PodTemplate\ntemplate: {{spec: {CONTAINERS}}}")) == ["c:1", "e:1", "i:1"]


def test_an_image_volume_is_an_image():
    volumes = '{containers: [], volumes: [{name: a, image: {reference: "q.io/v:1", pullPolicy: Always}}, {name: b, emptyDir: {}}]}'
    assert images(look(resource("Pod", volumes))) == ["q.io/v:1"]


def test_lists_are_opened_however_deep_and_also_without_kinds_inside():
    pod = {"spec": {"containers": [{"image": "a:1"}]}}
    typed = {"apiVersion": "v1", "kind": "PodList", "items": [pod]}
    whole = {"apiVersion": "v1", "kind": "List", "items": [typed, {"apiVersion": "v1", "kind": "Pod", **pod}]}
    assert images(look(json.dumps(whole), "x.json")) == ["a:1"]


def test_json_with_tabs_and_halved_characters_is_read():
    text = '{\n\t"apiVersion": "v1", "kind": "Pod",\n\t"metadata": {"name": "\\ud83d\\ude00"},\n'
    text += '\t"spec": {"containers": [{"image": "a:1"}]}}'
    found = look(text, "x.json")
    assert images(found) == ["a:1"]
    assert not found.unresolved
    assert found.images[0].places[0].line == 4


@pytest.mark.parametrize("word", ["status", "metadata"])
def test_what_a_cluster_adds_is_no_wish(word):
    text = (
        resource("Pod", '{containers: [{image: "a:1"}]}').replace("metadata: {name: x}\n", "")
        + f'{word}: {{containers: [{{image: "b:1"}}]}}'
    )
    assert images(look(text)) == ["a:1"]


def test_schemas_rules_and_secrets_name_no_images():
    crd = resource("CustomResourceDefinition", '{containers: [{image: "a:1"}]}', "apiextensions.k8s.io/v1")
    rule = resource("ClusterPolicy", '{rules: [{validate: {pattern: {spec: {containers: [{image: "r.io/*"}]}}}}]}', "kyverno.io/v1")
    secret = "apiVersion: v1\nkind: Secret\nstringData: {x: |\n  image: canary/secret:1\n  }"
    found = look("\n---\n".join([crd, rule, secret]))
    assert (found.images, found.possible) == ((), ())


def test_operator_conventions_in_environment_and_flags():
    container = f"""{{containers: [{{image: "op:1",
        env: [{{name: RELATED_IMAGE_DB, value: "q.io/db@{SHA}"}}, {{name: SIDECAR_IMAGE, value: "q.io/side:1"}},
              {{name: RELATED_IMAGE_EMPTY}}, {{name: IMAGE_PULL_POLICY, value: Always}}],
        args: [--prometheus-config-reloader=q.io/reload:1, --base-image, "q.io/base:2", --no-image, --port=8080]}}]}}"""
    found = look(resource("Pod", container))
    assert images(found) == ["op:1", "q.io/base:2", f"q.io/db@{SHA}", "q.io/reload:1", "q.io/side:1"]
    assert not found.possible


@pytest.mark.parametrize(
    ("api", "kind", "spec", "expected"),
    [
        ("monitoring.coreos.com/v1", "Prometheus", '{image: "q.io/p:1"}', ["q.io/p:1"]),
        ("monitoring.coreos.com/v1", "Alertmanager", "{baseImage: q.io/am, version: v1}", ["q.io/am:v1"]),
        ("monitoring.coreos.com/v1", "ThanosRuler", "{baseImage: q.io/t, tag: v2, version: v1}", ["q.io/t:v2"]),
        ("monitoring.coreos.com/v1", "Prometheus", f"{{baseImage: q.io/p, sha: {SHA[7:]}}}", [f"q.io/p@{SHA}"]),
        ("monitoring.coreos.com/v1", "PrometheusRule", "{groups: [{rules: [{labels: {image: x}}]}]}", []),
        ("argoproj.io/v1alpha1", "Workflow", '{templates: [{container: {image: "a:1"}}, {script: {image: "b:1"}}]}',
         ["a:1", "b:1"]),
        ("argoproj.io/v1alpha1", "CronWorkflow", '{workflowSpec: {templates: [{sidecars: [{image: "s:1"}]}]}}', ["s:1"]),
        ("tekton.dev/v1", "Pipeline", '{tasks: [{taskSpec: {steps: [{image: "a:1"}], stepTemplate: {image: "t:1"}}}]}',
         ["a:1", "t:1"]),
        ("serving.knative.dev/v1", "Service", TEMPLATE, ["c:1", "e:1", "i:1"]),
        ("kubevirt.io/v1", "VirtualMachineInstance", '{volumes: [{containerDisk: {image: "q.io/d:1"}}]}', ["q.io/d:1"]),
        ("cdi.kubevirt.io/v1beta1", "DataVolume", '{source: {registry: {url: "docker://q.io/d:2"}}}', ["q.io/d:2"]),
        ("kibana.k8s.elastic.co/v1", "Kibana", '{version: 8.1.0, image: "r.io/kibana:8.1.0"}', ["r.io/kibana:8.1.0"]),
        ("infrastructure.cluster.x-k8s.io/v1beta1", "DockerMachine", '{customImage: "kindest/node:v1"}', ["kindest/node:v1"]),
        ("postgresql.cnpg.io/v1", "Cluster", '{imageName: "g.io/pg:16"}', ["g.io/pg:16"]),
        ("kafka.strimzi.io/v1beta2", "Kafka", '{kafka: {image: "q.io/k:1"}, zookeeper: {image: "q.io/z:1"}}',
         ["q.io/k:1", "q.io/z:1"]),
        ("ceph.rook.io/v1", "CephCluster", '{cephVersion: {image: "q.io/ceph:v18"}}', ["q.io/ceph:v18"]),
        ("acid.zalan.do/v1", "postgresql", '{dockerImage: "g.io/spilo:16"}', ["g.io/spilo:16"]),
        ("pkg.crossplane.io/v1", "Provider", '{package: "x.io/provider:v1"}', ["x.io/provider:v1"]),
        ("upgrade.cattle.io/v1", "Plan", "{version: v1+k3s1, upgrade: {image: a/up}}", ["a/up:v1-k3s1"]),
        ("operators.coreos.com/v1alpha1", "CatalogSource", '{image: "q.io/catalog:v4"}', ["q.io/catalog:v4"]),
        ("operators.coreos.com/v1alpha1", "ClusterServiceVersion", '{relatedImages: [{image: "q.io/o:1"}]}', ["q.io/o:1"]),
        ("image.openshift.io/v1", "ImageStream", '{tags: [{from: {kind: DockerImage, name: "q.io/s:1"}}]}', ["q.io/s:1"]),
        ("apps.openshift.io/v1", "DeploymentConfig", TEMPLATE, ["c:1", "e:1", "i:1"]),
    ],
)  # fmt: skip
def test_custom_resources_are_read_by_their_keys(api, kind, spec, expected):
    found = look(resource(kind, spec, api))
    assert images(found) == expected
    assert not found.unresolved
    assert not found.possible


def test_images_that_an_operator_chooses_are_said():
    assert look(resource("Prometheus", "{version: v2}", "monitoring.coreos.com/v1")).notes[0].what.startswith("Prometheus names no")
    elastic = look(resource("Beat", "{type: filebeat, version: 8.1.0}", "beat.k8s.elastic.co/v1beta1"))
    assert [str(image.reference) for image in elastic.possible] == ["docker.elastic.co/beats/filebeat:8.1.0"]


def test_a_parameter_becomes_each_of_its_values_and_is_unresolved_without_one():
    task = """
        apiVersion: tekton.dev/v1
        kind: Task
        spec:
          params: [{name: IMAGE, default: "a/b:1"}, {name: TAG, type: string}]
          steps:
            - image: $(params.IMAGE)
            - image: a/c:$(params.TAG)
    """
    found = look(task)
    assert images(found) == ["a/b:1"]
    assert unresolved(found) == [(8, "a/c:$(params.TAG)")]


def test_parameters_do_not_multiply_without_end():
    params = ", ".join(f'{{name: p{n}, value: "a"}}, {{name: p{n}, value: "b"}}' for n in range(30))
    text = "".join(f"$(params.p{n})" for n in range(30))
    found = look(resource("Task", f'{{params: [{params}], steps: [{{image: "{text}"}}]}}', "tekton.dev/v1"))
    assert len(found.unresolved) == 1
    assert not found.images


def test_an_openshift_template_uses_its_parameters_in_its_objects():
    pod = '{apiVersion: v1, kind: Pod, spec: {containers: [{image: "${NAME}:${TAG}"}, {image: "x:${NONE}"}]}}'
    head = "apiVersion: template.openshift.io/v1\nkind: Template\nparameters: [{name: NAME, value: a/b}, {name: TAG, value: '2'}]\n"
    found = look(f"{head}objects:\n  - {pod}\n")
    assert images(found) == ["a/b:2"]
    assert unresolved(found) == [(5, "x:${NONE}")]


@pytest.mark.parametrize("text", ['""', "auto", '"{{ .Values.image }}"', "r.io/a:${TAG}", "a/B", "a:b:c", "http://a/b", "[a]"])
def test_what_is_no_image_in_an_images_place_is_unresolved_with_its_line(text):
    found = look(f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: {text}\n")
    assert not found.images
    assert [remark.place.line for remark in found.unresolved] == [5]


def test_defaults_of_substituted_variables_are_taken():
    found = look(resource("Pod", '{containers: [{image: "a/b:${TAG:=1.2}"}]}'))
    assert images(found) == ["a/b:1.2"]
    assert "TAG has its default value" in found.images[0].remarks


def test_images_that_ko_builds_are_told_also_in_variables():
    found = look(
        resource("Pod", '{containers: [{image: a/b:1, env: [{name: IMAGE_PROXY, value: "ko://github.com/a/b/cmd/proxy"}]}]}')
    )
    assert [(one.what, one.got) for one in found.unresolved] == [("an image that ko builds", "ko://github.com/a/b/cmd/proxy")]


def test_a_parameter_called_image_is_told_though_its_value_has_no_tag():
    task = (
        "{taskRef: {name: kaniko}, params: [{name: IMAGE, value: $(params.registry)/shop}, {name: CONTEXT, value: $(params.a)/b}]}"
    )
    found = look(resource("PipelineRun", f"{{pipelineSpec: {{tasks: [{task}]}}}}"))
    assert [one.got for one in found.unresolved] == ["$(params.registry)/shop"]


def test_embedded_documents_and_values_are_possible():
    text = """
        apiVersion: v1
        kind: ConfigMap
        data:
          pod.yaml: |
            kind: Pod
            apiVersion: v1
            spec:
              containers:
                - image: a/b:1
          config.json: "{\\n \\"helperImage\\": \\"a/c:1\\"}"
          BASE_IMAGE: a/d:1
    """
    found = look(text)
    assert not found.images
    assert possible(found) == ["a/b:1", "a/c:1", "a/d:1"]
    assert [image.places[0].line for image in found.possible] == [10, 11, 12]


def test_helm_values_are_possible_and_a_tag_left_to_the_chart_is_a_note():
    text = f"""
        image: {{registry: q.io, repository: a/b, tag: 1.2}}
        other: {{repository: a/c, digest: {SHA}}}
        named: {{image: {{name: a/d, tag: v1}}}}
        driver: {{repository: n.io/x, image: driver, version: '550'}}
        sidecarImage: a/e:1
        chosen: {{repository: a/f, tag: ""}}
        pullPolicy: {{imagePullPolicy: IfNotPresent}}
        repo: {{repository: https://example.com/charts, tag: v1}}
        logo: {{image: assets/logo.png}}
    """
    found = look(text)
    assert not found.images
    assert possible(found) == [f"a/c@{SHA}", "a/d:v1", "a/e:1", "n.io/x/driver:550", "q.io/a/b:1.2"]
    assert [(remark.place.line, remark.got) for remark in found.notes] == [(7, "a/f")]
    assert images(look(text, include_possible=True)) == possible(found)


def test_an_image_that_is_sure_somewhere_is_not_only_possible():
    found = look(resource("Pod", '{containers: [{image: "a/b:1"}]}') + "---\nimage: a/b:1\n")
    assert images(found) == ["a/b:1"]
    assert [place.line for place in found.images[0].places] == [4, 6]
    assert not found.possible


def test_rendered_charts_say_the_template_each_document_came_from():
    text = "---\n# Source: web/templates/pod.yaml\n" + resource("Pod", '{containers: [{image: "a:1"}]}')
    assert str(look(text).images[0].places[0]) == "x.yaml:6 (web/templates/pod.yaml)"
