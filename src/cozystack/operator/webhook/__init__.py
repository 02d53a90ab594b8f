"""The validating admission webhook: wrong Packages and PackageSources are refused before they are stored.

===================  ======================================================================
``reviews``          what is answered: an AdmissionReview in, one out
``certificates``     an authority and a server certificate of its own, made and renewed
``keeping``          the Secret in which all replicas share them
``server``           HTTPS
``registration``     the ValidatingWebhookConfiguration, written by the leader
``service``          all of it, as one service of the operator
===================  ======================================================================

Off by default, and nothing here is imported then. It can lock nobody out: see ``docs/design/admission.md``.
"""
