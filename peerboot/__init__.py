"""peerboot: brings a clustered server up in a StatefulSet, and says why.

Read the stages in the order in which data flows:
settings, identity, discovery, peers, census, assess, decide, plan, act, report.
"""

__version__ = "0.1.0.dev0"

IMAGE = f"peerboot:{__version__}"
"""The one name of peerboot's image; `peerboot manifest --image` and Kustomize's `images:` change it."""
