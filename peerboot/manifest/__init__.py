"""Manifests for ``kubectl apply``: options and what a system adds, to YAML that says why. Pure; see ``template.py``.

``server.py``    what a system adds (its container, ports, probes, use)
``options.py``   what a person chooses, checked
``objects.py``   every object but the StatefulSet
``pods.py``      the StatefulSet and its Pod
``containers.py``  the Pod's containers
``takeover.py``  what a StatefulSet that runs already keeps
``volumes.py``   the Pod's volumes
``writer.py``    trees with comments to YAML
"""
